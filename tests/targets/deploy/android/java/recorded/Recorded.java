package recorded;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * What stands in for the runtime: it keeps what each run is fed with, and answers with what the
 * real runtime answered. In the folder are `outputs.txt`, with the bytes and the numbers of each
 * output in a line, and `output-RUN-OUTPUT`; it writes `input-RUN`.
 */
public final class Recorded {
    private static Path folder;
    private static int runs;

    private Recorded() {}

    public static void begin(Path answers) {
        folder = answers;
        runs = 0;
    }

    /** Bytes and numbers of each output. */
    public static List<int[]> outputs() {
        List<int[]> found = new ArrayList<>();
        try {
            for (String line : Files.readAllLines(folder.resolve("outputs.txt"))) {
                String[] words = line.split(" ");
                found.add(new int[] {Integer.parseInt(words[0]), Integer.parseInt(words[1])});
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return found;
    }

    public static int inputBytes() {
        try {
            return Integer.parseInt(Files.readString(folder.resolve("input.txt")).trim());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Keeps the input of a run, and returns the outputs. */
    public static List<byte[]> run(byte[] input) {
        List<byte[]> answers = new ArrayList<>();
        try {
            Files.write(folder.resolve("input-" + runs), input);
            for (int i = 0; i < outputs().size(); i++) {
                answers.add(Files.readAllBytes(folder.resolve("output-" + runs + "-" + i)));
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        runs++;
        return answers;
    }
}

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.jetbrains.kotlin.cli.common.ExitCode;
import org.jetbrains.kotlin.cli.jvm.K2JVMCompiler;

/**
 * Compiles apps against what stands in for Android, and runs them, all in one process: the
 * compiler is only fast from its second app on.
 *
 * <p>Its arguments are the folder of this file, the Kotlin library, a folder for classes, and the
 * folder of each app, which holds `app/src/main`, `kind` (a file of `apps`) and, where it is to be
 * run, `answers` (see `Recorded`). It writes `compiler.txt` and `printed.txt` into that.
 */
public class Build {
    private static String library;

    public static void main(String[] arguments) throws Exception {
        Path here = Path.of(arguments[0]);
        library = arguments[1];
        Path classes = Path.of(arguments[2]);
        Path android = classes.resolve("android");
        List<String> javac = new ArrayList<>(List.of("-nowarn", "-d", android.toString()));
        javac.addAll(sources(here.resolve("java"), ".java"));
        if (ToolProvider.getSystemJavaCompiler().run(null, System.err, System.err, javac.toArray(new String[0])) != 0) {
            System.exit(1);
        }
        List<String> common = sources(here.resolve("kotlin"), ".kt");
        common.add(here.resolve("apps/Phone.kt").toString());
        String said = kotlin(classes.resolve("common"), android.toString(), common);
        if (said != null) {
            System.err.println(said);
            System.exit(1);
        }
        String path = android + File.pathSeparator + classes.resolve("common");
        for (int i = 3; i < arguments.length; i++) {
            Path app = Path.of(arguments[i]);
            Path built = classes.resolve("app-" + i);
            String kind = Files.readString(app.resolve("kind")).trim();
            List<String> files = sources(app.resolve("app/src/main/java"), ".kt");
            files.add(here.resolve("apps/" + kind + ".kt").toString());
            String errors = kotlin(built, path, files);
            Files.writeString(app.resolve("compiler.txt"), errors == null ? "" : errors);
            if (errors == null && Files.exists(app.resolve("answers"))) {
                run(app, kind, built, android, classes.resolve("common"));
            }
        }
    }

    private static List<String> sources(Path folder, String ending) throws Exception {
        try (Stream<Path> files = Files.walk(folder)) {
            return new ArrayList<>(files.map(Path::toString).filter(f -> f.endsWith(ending)).sorted().toList());
        }
    }

    /** Compiles; returns what the compiler says where it does not succeed, or warns. */
    private static String kotlin(Path into, String path, List<String> files) {
        List<String> options = new ArrayList<>(List.of(
            "-Werror", "-no-stdlib", "-no-reflect", "-classpath", library + File.pathSeparator + path,
            "-d", into.toString()));
        options.addAll(files);
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        ExitCode code = new K2JVMCompiler().exec(new PrintStream(said), options.toArray(new String[0]));
        return code == ExitCode.OK ? null : code + "\n" + said;
    }

    private static void run(Path app, String kind, Path... classes) throws Exception {
        List<URL> urls = new ArrayList<>(List.of(Path.of(library).toUri().toURL()));
        for (Path folder : classes) urls.add(folder.toUri().toURL());
        File answers = app.resolve("answers").toFile();
        try (URLClassLoader loader =
                new URLClassLoader(urls.toArray(new URL[0]), ClassLoader.getPlatformClassLoader())) {
            loader.loadClass("recorded.Recorded").getMethod("begin", Path.class).invoke(null, answers.toPath());
            Object printed = loader.loadClass("app." + kind + "Kt").getMethod("run", File.class, File.class)
                .invoke(null, app.resolve("app/src/main/assets").toFile(), answers);
            Files.writeString(app.resolve("printed.txt"), (String) printed);
        }
    }
}

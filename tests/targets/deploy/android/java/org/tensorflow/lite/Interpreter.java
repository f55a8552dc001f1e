package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Map;
import recorded.Recorded;

public final class Interpreter implements AutoCloseable {
    public static class Options {
        public Options() {}

        public Options setNumThreads(int numThreads) {
            return this;
        }
    }

    public Interpreter(ByteBuffer byteBuffer, Options options) {
        if (byteBuffer.order(ByteOrder.LITTLE_ENDIAN).getInt(4) != 0x334c4654) {
            throw new IllegalArgumentException("it is no TFLite model");
        }
    }

    public int getOutputTensorCount() {
        return Recorded.outputs().size();
    }

    public Tensor getInputTensor(int inputIndex) {
        return tensor(new int[] {Recorded.inputBytes(), -1});
    }

    public Tensor getOutputTensor(int outputIndex) {
        return tensor(Recorded.outputs().get(outputIndex));
    }

    private static Tensor tensor(int[] sizes) {
        return new Tensor() {
            @Override
            public int numBytes() {
                return sizes[0];
            }

            @Override
            public int numElements() {
                return sizes[1];
            }

            @Override
            public int[] shape() {
                throw new UnsupportedOperationException();
            }
        };
    }

    public void runForMultipleInputsOutputs(Object[] inputs, Map<Integer, Object> outputs) {
        ByteBuffer given = direct(inputs[0]);
        byte[] input = new byte[given.remaining()];
        given.get(input);
        List<byte[]> answers = Recorded.run(input);
        for (int i = 0; i < answers.size(); i++) {
            direct(outputs.get(i)).put(answers.get(i));
        }
    }

    /** The real one takes buffers in place only where they are direct and in the machine's order. */
    private static ByteBuffer direct(Object value) {
        ByteBuffer buffer = (ByteBuffer) value;
        if (!buffer.isDirect() || buffer.order() != ByteOrder.nativeOrder()) {
            throw new IllegalArgumentException("it is no direct buffer in native order");
        }
        return buffer;
    }

    @Override
    public void close() {}
}

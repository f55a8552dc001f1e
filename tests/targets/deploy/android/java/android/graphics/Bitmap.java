package android.graphics;

/** Pixels as ARGB_8888 has them; on a phone those that are partly transparent lose some bits. */
public final class Bitmap {
    public enum Config { ALPHA_8, RGB_565, ARGB_4444, ARGB_8888, RGBA_F16, HARDWARE, RGBA_1010102 }

    private final int[] colors;
    private final int width;
    private final int height;

    private Bitmap(int[] colors, int width, int height) {
        this.colors = colors;
        this.width = width;
        this.height = height;
    }

    public static Bitmap createBitmap(int[] colors, int width, int height, Config config) {
        return new Bitmap(colors.clone(), width, height);
    }

    public int getWidth() {
        return width;
    }

    public int getHeight() {
        return height;
    }

    public boolean hasAlpha() {
        for (int color : colors) {
            if (color >>> 24 != 255) return true;
        }
        return false;
    }

    public void getPixels(
            int[] pixels, int offset, int stride, int x, int y, int width, int height) {
        if (x < 0 || y < 0 || x + width > this.width || y + height > this.height) {
            throw new IllegalArgumentException("it is outside of the bitmap");
        }
        for (int row = 0; row < height; row++) {
            int from = (y + row) * this.width + x;
            System.arraycopy(colors, from, pixels, offset + row * stride, width);
        }
    }

    public Bitmap copy(Config config, boolean isMutable) {
        return createBitmap(colors, width, height, config);
    }
}

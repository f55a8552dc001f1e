package android.graphics;

public class Color {
    public static int red(int color) {
        return (color >> 16) & 0xFF;
    }

    public static int green(int color) {
        return (color >> 8) & 0xFF;
    }

    public static int blue(int color) {
        return color & 0xFF;
    }

    public static int rgb(int red, int green, int blue) {
        return 0xFF000000 | (red << 16) | (green << 8) | blue;
    }

    public static int parseColor(String colorString) {
        if (!colorString.matches("#[0-9a-fA-F]{6}")) {
            throw new IllegalArgumentException("Unknown color");
        }
        return 0xFF000000 | Integer.parseInt(colorString.substring(1), 16);
    }
}

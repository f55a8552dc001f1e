package android.graphics;

/** What draws is compiled, and not run. */
public class Paint {
    public enum Style { FILL, STROKE, FILL_AND_STROKE }

    public Style getStyle() {
        throw new UnsupportedOperationException();
    }

    public void setStyle(Style style) {
        throw new UnsupportedOperationException();
    }

    public float getStrokeWidth() {
        throw new UnsupportedOperationException();
    }

    public void setStrokeWidth(float width) {
        throw new UnsupportedOperationException();
    }

    public float getTextSize() {
        throw new UnsupportedOperationException();
    }

    public void setTextSize(float textSize) {
        throw new UnsupportedOperationException();
    }

    public final boolean isAntiAlias() {
        throw new UnsupportedOperationException();
    }

    public void setAntiAlias(boolean aa) {
        throw new UnsupportedOperationException();
    }

    public int getColor() {
        throw new UnsupportedOperationException();
    }

    public void setColor(int color) {
        throw new UnsupportedOperationException();
    }

    public void setColor(long color) {
        throw new UnsupportedOperationException();
    }
}

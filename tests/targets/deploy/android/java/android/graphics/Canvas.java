package android.graphics;

/** What draws is compiled, and not run. */
public class Canvas {
    public Canvas(Bitmap bitmap) {
        throw new UnsupportedOperationException();
    }

    public void drawRect(RectF rect, Paint paint) {
        throw new UnsupportedOperationException();
    }

    public void drawText(String text, float x, float y, Paint paint) {
        throw new UnsupportedOperationException();
    }
}

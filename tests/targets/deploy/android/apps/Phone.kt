package phone

import android.content.Context
import android.content.res.AssetManager
import android.graphics.Bitmap
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** An app's context, whose assets are in a folder. */
class Phone(assets: File) : Context() {
    private val manager = AssetManager(assets)

    override fun getAssets(): AssetManager = manager
}

/** A photo in a file: its width, its height, and its pixels as ARGB, in little-endian integers. */
fun readBitmap(file: File): Bitmap {
    val numbers = ByteBuffer.wrap(file.readBytes()).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer()
    val (width, height) = List(2) { numbers.get() }
    val colors = IntArray(width * height).also { numbers.get(it) }
    return Bitmap.createBitmap(colors, width, height, Bitmap.Config.ARGB_8888)
}

/** The photos of a folder, by their numbers. */
fun photos(folder: File): List<Bitmap> =
    generateSequence(0) { it + 1 }.map { File(folder, "photo-$it") }.takeWhile { it.exists() }
        .map { readBitmap(it) }.toList()

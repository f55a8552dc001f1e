package app

import edgekit.Segmenter
import java.io.File
import phone.Phone
import phone.photos

/** Prints a line of the classes of its pixels for each photo, then one of the drawing's colours. */
fun run(assets: File, folder: File): String =
    Segmenter(Phone(assets)).use { segmenter ->
        photos(folder).joinToString("\n") { photo ->
            val mask = segmenter.segment(photo)
            val drawn = IntArray(photo.width * photo.height)
            mask.drawOver(photo).getPixels(drawn, 0, photo.width, 0, 0, photo.width, photo.height)
            mask.classes.joinToString(" ") { "${it.toInt() and 0xFF}" } + "\n" + drawn.joinToString(" ")
        }
    }

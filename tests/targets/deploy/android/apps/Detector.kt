package app

import edgekit.Detector
import java.io.File
import phone.Phone
import phone.photos

/** Prints a line of `top left bottom right score class` for each photo. */
fun run(assets: File, folder: File): String =
    Detector(Phone(assets)).use { detector ->
        photos(folder).joinToString("\n") { photo ->
            detector.detect(photo).joinToString(" ") {
                "${it.box.top} ${it.box.left} ${it.box.bottom} ${it.box.right} ${it.score} ${it.index}"
            }
        }
    }

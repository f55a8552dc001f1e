package app

import edgekit.Classifier
import java.io.File
import phone.Phone
import phone.photos

/** Prints a line of `index probability` for each photo. */
fun run(assets: File, folder: File): String =
    Classifier(Phone(assets)).use { classifier ->
        photos(folder).joinToString("\n") { photo ->
            classifier.classify(photo, top = 1000).joinToString(" ") { "${it.index} ${it.probability}" }
        }
    }

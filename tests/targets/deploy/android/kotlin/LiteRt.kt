package com.google.ai.edge.litert

import android.content.res.AssetManager
import java.nio.ByteBuffer
import java.nio.ByteOrder
import recorded.Recorded

class Environment private constructor()

enum class Accelerator private constructor(val value: Int) {
    NONE(0),
    CPU(1),
    GPU(2),
    NPU(3),
}

abstract class JniHandle internal constructor() : AutoCloseable {
    private var destroyed = false

    protected fun assertNotDestroyed() = check(!destroyed) { "The handle has been destroyed." }

    override final fun close() {
        destroyed = true
    }
}

class TensorBuffer internal constructor(size: Int) : JniHandle() {
    internal var bytes = ByteArray(size)

    private fun write(count: Int, put: ByteBuffer.() -> Unit) {
        assertNotDestroyed()
        require(count <= bytes.size) { "the buffer is smaller" }
        ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder()).put()
    }

    private fun read(): ByteBuffer {
        assertNotDestroyed()
        return ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder())
    }

    fun writeFloat(data: FloatArray) = write(4 * data.size) { asFloatBuffer().put(data) }

    fun writeInt8(data: ByteArray) = write(data.size) { put(data) }

    fun readInt(): IntArray = IntArray(bytes.size / 4).also { read().asIntBuffer().get(it) }

    fun readFloat(): FloatArray = FloatArray(bytes.size / 4).also { read().asFloatBuffer().get(it) }

    fun readInt8(): ByteArray = bytes.copyOf().also { assertNotDestroyed() }

    fun readLong(): LongArray = LongArray(bytes.size / 8).also { read().asLongBuffer().get(it) }
}

class CompiledModel private constructor() : JniHandle() {
    data class CpuOptions
    constructor(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options constructor(internal val accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        var cpuOptions: CpuOptions? = null

        companion object {
            @JvmStatic val CPU = Options(Accelerator.CPU)
        }
    }

    @JvmOverloads
    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> {
        require(signatureIndex == 0)
        return listOf(TensorBuffer(Recorded.inputBytes()))
    }

    fun createInputBuffers(signature: String): List<TensorBuffer> = TODO(signature)

    @JvmOverloads
    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> {
        require(signatureIndex == 0)
        return Recorded.outputs().map { TensorBuffer(it[0]) }
    }

    fun createOutputBuffers(signature: String): List<TensorBuffer> = TODO(signature)

    @JvmOverloads
    fun run(inputs: List<TensorBuffer>, signatureIndex: Int = 0): List<TensorBuffer> {
        val outputs = createOutputBuffers(signatureIndex)
        run(inputs, outputs, signatureIndex)
        return outputs
    }

    fun run(inputs: List<TensorBuffer>, signature: String): List<TensorBuffer> =
        TODO("$inputs $signature")

    @JvmOverloads
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) {
        assertNotDestroyed()
        require(signatureIndex == 0)
        Recorded.run(inputs[0].bytes).forEachIndexed { i, answer -> outputs[i].bytes = answer }
    }

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signature: String): Unit =
        TODO("$inputs $outputs $signature")

    companion object {
        @JvmOverloads
        @JvmStatic
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options.CPU,
            optionalEnv: Environment? = null,
        ): CompiledModel {
            require(optionalEnv == null && options.accelerators == setOf(Accelerator.CPU))
            assetManager.openFd(assetName).use { require(it.declaredLength > 0) }
            return CompiledModel()
        }
    }
}

"""Sony's IMX500, the sensor of the Raspberry Pi AI Camera: MCT's quantization, Sony's converter."""

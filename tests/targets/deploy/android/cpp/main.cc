// Prints the probabilities of photos, a line each, and writes the pixels that the model is shown:
// `main MODEL PHOTO...`. A photo's file has its width and height, and its bytes as RGB.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "classifier.h"

int main(int count, char** arguments) {
  edgekit::Classifier classifier(arguments[1], 1);
  if (!classifier.ok()) return 1;
  for (int i = 2; i < count; ++i) {
    const std::string name = arguments[i];
    std::ifstream file(name, std::ios::binary);
    std::int32_t size[2];
    file.read(reinterpret_cast<char*>(size), sizeof(size));
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    const std::uint8_t* rgb = reinterpret_cast<const std::uint8_t*>(bytes.data());
    const std::vector<std::uint8_t> pixels = edgekit::PreparePhoto(rgb, size[0], size[1]);
    std::ofstream(name + ".pixels", std::ios::binary)
        .write(reinterpret_cast<const char*>(pixels.data()), pixels.size());
    for (float probability : classifier.Classify(rgb, size[0], size[1])) {
      std::printf("%.9g ", probability);
    }
    std::printf("\n");
  }
}

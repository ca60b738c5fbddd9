// Command tfjs2onnx converts the default model from TensorFlow.js to ONNX.
package main

import (
	"fmt"
	"os"

	"vedette/infer/onnxfile"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: tfjs2onnx FOLDER OUT.onnx")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "tfjs2onnx:", err)
		os.Exit(1)
	}
}

// run converts the graph model in folder and writes it to path, whole or not at all.
func run(folder, path string) error {
	d, weights, err := readFolder(folder)
	if err != nil {
		return fmt.Errorf("cannot read the model in %s: %w", folder, err)
	}
	graph, err := convert(d, weights)
	if err != nil {
		return fmt.Errorf("cannot convert the model in %s: %w", folder, err)
	}
	data, err := model(graph).Encode()
	if err != nil {
		return err
	}
	return onnxfile.WriteFile(path, data)
}

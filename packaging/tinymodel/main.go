// Command tinymodel writes a detector small enough for tests: see package vedette/infer/onnxfile/tinymodel.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	"vedette/infer/onnxfile"
	"vedette/infer/onnxfile/tinymodel"
)

func main() {
	size := flag.Int("size", 64, "width and height of the input in `pixels`")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: tinymodel [-size N] OUT.onnx")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *size); err != nil {
		fmt.Fprintln(os.Stderr, "tinymodel:", err)
		os.Exit(1)
	}
}

func run(path string, size int) error {
	var data bytes.Buffer
	if err := tinymodel.Write(&data, size); err != nil {
		return err
	}
	return onnxfile.WriteFile(path, data.Bytes())
}

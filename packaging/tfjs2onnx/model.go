package main

import (
	"encoding/json"
	"strings"

	"vedette/infer/onnxfile"
)

// The names of the ONNX model's input and output.
const (
	inputName  = "images"     // float32 [1 3 H W], RGB, 0..255
	outputName = "detections" // float32 [1 N 6]: x1, y1, x2, y2 in input pixels, score 0..1, class
)

// What the model's metadata says of where it is from, for the notices and for people who look into the file.
const (
	title  = "CenterNet on MobileNetV3, 80 COCO classes"
	source = "models/centernet.{json,bin} of the npm package @vladmandic/human, converted there from " +
		"github.com/610265158/mobilenetv3_centernet"
	license = "npm package @vladmandic/human: MIT; its source, the training repository, carries no licence file"
)

// coco is the labels that the model is trained with, in the order of its classes.
const coco = "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign," +
	"parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie," +
	"suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard," +
	"tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot," +
	"hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard," +
	"cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"

// model puts a converted graph into a model file that package decode recognises.
func model(graph onnxfile.Graph) onnxfile.Model {
	names, err := json.Marshal(strings.Split(coco, ","))
	if err != nil { // a list of strings always encodes
		panic(err)
	}
	return onnxfile.Model{
		Producer: "vedette tfjs2onnx", Opset: opset, Graph: graph,
		Metadata: []onnxfile.Property{
			{Key: "family", Value: "centernet"},
			{Key: "names", Value: string(names)},
			{Key: "title", Value: title},
			{Key: "source", Value: source},
			{Key: "license", Value: license},
		},
	}
}

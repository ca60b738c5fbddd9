package decode

import (
	"fmt"
	"strings"
)

// coco gives the 80 labels of the COCO detection task, in the order that models are trained with: the data set's
// category numbers without their gaps.
func coco() []string {
	return strings.Split("person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,"+
		"stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,"+
		"handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,"+
		"tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,"+
		"pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,"+
		"microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush", ",")
}

// cocoCategories gives the labels of the data set's own category numbers, 1 to 90. Ten of them were never used.
func cocoCategories() []string {
	unused := map[int]bool{12: true, 26: true, 29: true, 30: true, 45: true, 66: true, 68: true, 69: true, 71: true, 83: true}
	labels, used := make([]string, 0, 90), coco()
	for category := 1; category <= 90; category++ {
		if unused[category] {
			labels = append(labels, fmt.Sprintf("class_%d", category))
			continue
		}
		labels = append(labels, used[0])
		used = used[1:]
	}
	return labels
}

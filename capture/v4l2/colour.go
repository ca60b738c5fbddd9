package v4l2

import "vedette/capture"

// enum v4l2_colorspace, v4l2_ycbcr_encoding and v4l2_quantization, as far as they tell matrices and ranges apart.
const (
	colorspaceSMPTE240M = 2
	colorspaceRec709    = 3
	colorspaceJPEG      = 7
	colorspaceBT2020    = 10
	colorspaceDCIP3     = 12

	encodingDefault  = 0
	encoding601      = 1
	encoding709      = 2
	encodingXV709    = 4
	encodingBT2020   = 6
	encodingBT2020CL = 7
	encoding240M     = 8

	quantizationFull    = 1
	quantizationLimited = 2
)

// colour gives what the driver says about colour in the vocabulary's terms. What it leaves open follows
// V4L2_MAP_YCBCR_ENC_DEFAULT and V4L2_MAP_QUANTIZATION_DEFAULT of linux/videodev2.h. BT.2020 and SMPTE 240M are
// taken for BT.709, which is near them. A JPEG is always what JFIF says: BT.601, full range.
func (p pixels) colour() (capture.Matrix, capture.Range) {
	if p.format == capture.MJPEG {
		return capture.BT601, capture.Full
	}
	encoding := p.encoding
	if encoding == encodingDefault {
		switch p.colorspace {
		case colorspaceRec709, colorspaceDCIP3, colorspaceBT2020, colorspaceSMPTE240M:
			encoding = encoding709
		default:
			encoding = encoding601
		}
	}
	matrix := capture.BT601
	switch encoding {
	case encoding709, encodingXV709, encodingBT2020, encodingBT2020CL, encoding240M:
		matrix = capture.BT709
	}
	switch p.quantization {
	case quantizationFull:
		return matrix, capture.Full
	case quantizationLimited:
		return matrix, capture.Limited
	}
	rgb := p.format == capture.RGB24 || p.format == capture.BGR24
	if rgb || p.colorspace == colorspaceJPEG {
		return matrix, capture.Full
	}
	return matrix, capture.Limited
}

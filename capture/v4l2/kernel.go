package v4l2

import "unsafe"

// The structures, numbers and flags of linux/videodev2.h, as 64-bit Linux lays them out. A test compares them with
// what a C compiler makes of that header.

const (
	reqQueryCap  = 0x80685600
	reqSetFormat = 0xc0d05605
	reqBuffers   = 0xc0145608
	reqQueryBuf  = 0xc0585609
	reqQueue     = 0xc058560f
	reqDequeue   = 0xc0585611
	reqStreamOn  = 0x40045612
	reqStreamOff = 0x40045613
	reqGetParm   = 0xc0cc5615
	reqSetParm   = 0xc0cc5616
)

// A request's number carries the size of its argument in bits 16 to 29: an index other than 0 does not compile.
var _ = [...]struct{}{
	[1]struct{}{}[unsafe.Sizeof(capability{})-reqQueryCap>>16&0x3fff],
	[1]struct{}{}[unsafe.Sizeof(format{})-reqSetFormat>>16&0x3fff],
	[1]struct{}{}[unsafe.Sizeof(formatMulti{})-reqSetFormat>>16&0x3fff],
	[1]struct{}{}[unsafe.Sizeof(requestBuffers{})-reqBuffers>>16&0x3fff],
	[1]struct{}{}[unsafe.Sizeof(buffer{})-reqQueue>>16&0x3fff],
	[1]struct{}{}[unsafe.Sizeof(streamParm{})-reqSetParm>>16&0x3fff],
	[1]struct{}{}[unsafe.Sizeof(bufType(0))-reqStreamOn>>16&0x3fff],
}

// Bits of capability.Capabilities and DeviceCaps.
const (
	capVideoCapture      = 0x00000001
	capVideoCaptureMulti = 0x00001000
	capStreaming         = 0x04000000
	capDeviceCaps        = 0x80000000 // DeviceCaps is filled in
)

// capability is struct v4l2_capability.
type capability struct {
	Driver       [16]byte
	Card         [32]byte
	BusInfo      [32]byte
	Version      uint32
	Capabilities uint32 // of all nodes of the device together
	DeviceCaps   uint32 // of this node
	_            [3]uint32
}

// bufType is enum v4l2_buf_type.
type bufType uint32

const (
	typeCapture      bufType = 1
	typeCaptureMulti bufType = 9
)

const (
	memoryMap = 1          // V4L2_MEMORY_MMAP
	privMagic = 0xfeedcafe // V4L2_PIX_FMT_PRIV_MAGIC: the fields after Priv mean something
	maxPlanes = 8          // VIDEO_MAX_PLANES
	maxFrames = 32         // VIDEO_MAX_FRAME: the most buffers of a queue
	capRate   = 0x1000     // V4L2_CAP_TIMEPERFRAME: the rate can be set
)

// enum v4l2_field, as far as whole frames come with it.
const (
	fieldAny          = 0
	fieldNone         = 1
	fieldInterlaced   = 4
	fieldInterlacedTB = 8
	fieldInterlacedBT = 9
)

// format is struct v4l2_format for one plane. The union is aligned to 8 bytes, and 200 bytes long.
type format struct {
	Type bufType
	_    uint32
	Pix  pixFormat
	_    [200 - unsafe.Sizeof(pixFormat{})]byte
}

// pixFormat is struct v4l2_pix_format.
type pixFormat struct {
	Width, Height uint32
	PixelFormat   uint32
	Field         uint32
	BytesPerLine  uint32
	SizeImage     uint32
	Colorspace    uint32
	Priv          uint32
	Flags         uint32
	YCbCrEnc      uint32
	Quantization  uint32
	XferFunc      uint32
}

// formatMulti is struct v4l2_format for several planes.
type formatMulti struct {
	Type bufType
	_    uint32
	Pix  pixFormatMulti
	_    [200 - unsafe.Sizeof(pixFormatMulti{})]byte
}

// pixFormatMulti is struct v4l2_pix_format_mplane.
type pixFormatMulti struct {
	Width, Height uint32
	PixelFormat   uint32
	Field         uint32
	Colorspace    uint32
	Planes        [maxPlanes]planeFormat
	NumPlanes     uint8
	Flags         uint8
	YCbCrEnc      uint8
	Quantization  uint8
	XferFunc      uint8
	_             [7]uint8
}

// planeFormat is struct v4l2_plane_pix_format.
type planeFormat struct {
	SizeImage    uint32
	BytesPerLine uint32
	_            [6]uint16
}

// requestBuffers is struct v4l2_requestbuffers.
type requestBuffers struct {
	Count        uint32
	Type         bufType
	Memory       uint32
	Capabilities uint32
	Flags        uint8
	_            [3]uint8
}

// Bits of buffer.Flags.
const (
	flagError              = 0x00000040
	flagTimestampMask      = 0x0000e000
	flagTimestampMonotonic = 0x00002000
)

// buffer is struct v4l2_buffer.
type buffer struct {
	Index     uint32
	Type      bufType
	BytesUsed uint32
	Flags     uint32
	Field     uint32
	_         uint32
	Seconds   int64
	Micros    int64
	_         [4]uint32 // timecode
	Sequence  uint32
	Memory    uint32
	// Where is a union: for one plane the offset to map, in its low half; for several the address of the planes.
	Where  uint64
	Length uint32 // bytes; for several planes, their number
	_      [3]uint32
}

// plane is struct v4l2_plane.
type plane struct {
	BytesUsed  uint32 // counted from the plane's start, DataOffset included
	Length     uint32
	Where      uint64 // in its low half, the offset to map
	DataOffset uint32
	_          [11]uint32
}

// streamParm is struct v4l2_streamparm for capture.
type streamParm struct {
	Type         bufType
	Capability   uint32
	Mode         uint32
	Numerator    uint32 // of the seconds per frame
	Denominator  uint32
	ExtendedMode uint32
	ReadBuffers  uint32
	_            [4]uint32
	_            [200 - 40]byte
}

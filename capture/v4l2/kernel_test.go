package v4l2

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

const header = "/usr/include/linux/videodev2.h"

// compile makes C's compiler print what it makes of expressions in the kernel's header.
func compile(t *testing.T, expressions []string) []string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc to compare with the kernel's header")
	}
	if _, err := os.Stat(header); err != nil {
		t.Skipf("no kernel header to compare with: %v", err)
	}
	var program strings.Builder
	program.WriteString("#include <stdio.h>\n#include <stddef.h>\n#include <linux/videodev2.h>\nint main(void) {\n")
	for _, e := range expressions {
		fmt.Fprintf(&program, "printf(\"%%#llx\\n\", (unsigned long long)(%s));\n", e)
	}
	program.WriteString("return 0; }\n")
	folder := t.TempDir()
	source, binary := filepath.Join(folder, "oracle.c"), filepath.Join(folder, "oracle")
	if err := os.WriteFile(source, []byte(program.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gcc, "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	out, err := exec.Command(binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func TestLayoutIsTheKernels(t *testing.T) {
	want := map[string]uint64{
		"VIDIOC_QUERYCAP": reqQueryCap, "VIDIOC_S_FMT": reqSetFormat, "VIDIOC_REQBUFS": reqBuffers,
		"VIDIOC_QUERYBUF": reqQueryBuf, "VIDIOC_QBUF": reqQueue, "VIDIOC_DQBUF": reqDequeue,
		"VIDIOC_STREAMON": reqStreamOn, "VIDIOC_STREAMOFF": reqStreamOff, "VIDIOC_G_PARM": reqGetParm, "VIDIOC_S_PARM": reqSetParm,
		"V4L2_CAP_VIDEO_CAPTURE": capVideoCapture, "V4L2_CAP_VIDEO_CAPTURE_MPLANE": capVideoCaptureMulti,
		"V4L2_CAP_STREAMING": capStreaming, "V4L2_CAP_DEVICE_CAPS": capDeviceCaps, "V4L2_CAP_TIMEPERFRAME": capRate,
		"V4L2_BUF_TYPE_VIDEO_CAPTURE": uint64(typeCapture), "V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE": uint64(typeCaptureMulti),
		"V4L2_MEMORY_MMAP": memoryMap, "V4L2_PIX_FMT_PRIV_MAGIC": privMagic,
		"VIDEO_MAX_PLANES": maxPlanes, "VIDEO_MAX_FRAME": maxFrames,
		"V4L2_FIELD_ANY": fieldAny, "V4L2_FIELD_NONE": fieldNone, "V4L2_FIELD_INTERLACED": fieldInterlaced,
		"V4L2_FIELD_INTERLACED_TB": fieldInterlacedTB, "V4L2_FIELD_INTERLACED_BT": fieldInterlacedBT,
		"V4L2_BUF_FLAG_ERROR": flagError, "V4L2_BUF_FLAG_TIMESTAMP_MASK": flagTimestampMask,
		"V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC": flagTimestampMonotonic,
		"V4L2_PIX_FMT_YUYV":                 uint64(capture.YUYV), "V4L2_PIX_FMT_UYVY": uint64(capture.UYVY), "V4L2_PIX_FMT_NV12": uint64(capture.NV12),
		"V4L2_PIX_FMT_NV21": uint64(capture.NV21), "V4L2_PIX_FMT_YUV420": uint64(capture.I420), "V4L2_PIX_FMT_YVU420": uint64(capture.YV12),
		"V4L2_PIX_FMT_GREY": uint64(capture.Grey), "V4L2_PIX_FMT_RGB24": uint64(capture.RGB24), "V4L2_PIX_FMT_BGR24": uint64(capture.BGR24),
		"V4L2_PIX_FMT_MJPEG": uint64(capture.MJPEG),
		"VIDIOC_ENUM_FMT":    reqListFormats, "VIDIOC_ENUM_FRAMESIZES": reqListSizes, "VIDIOC_ENUM_FRAMEINTERVALS": reqListIntervals,
		"VIDIOC_QUERYCTRL": reqAskControl, "VIDIOC_S_CTRL": reqSetControl, "V4L2_FRMSIZE_TYPE_DISCRETE": itemDiscrete,
		"V4L2_FRMIVAL_TYPE_DISCRETE": itemDiscrete, "V4L2_CTRL_TYPE_INTEGER": controlInteger, "V4L2_CTRL_TYPE_BOOLEAN": controlBoolean,
		"V4L2_CTRL_TYPE_MENU": controlMenu, "V4L2_CTRL_FLAG_DISABLED": controlDisabled, "V4L2_CTRL_FLAG_NEXT_CTRL": controlNext,
	}
	// fields pairs each field's name in Go with its path in C; a struct without fields is compared by its size.
	add := func(name string, value any, fields string) {
		typ := reflect.TypeOf(value)
		want["sizeof(struct "+name+")"] = uint64(typ.Size())
		for pair := range strings.FieldsSeq(fields) {
			goName, cName, _ := strings.Cut(pair, "=")
			offset, parent := uintptr(0), typ
			for part := range strings.SplitSeq(goName, ".") {
				f, ok := parent.FieldByName(part)
				if !ok {
					t.Fatalf("%s has no field %s", typ, goName)
				}
				offset, parent = offset+f.Offset, f.Type
			}
			want["offsetof(struct "+name+", "+cName+")"] = uint64(offset)
			want["sizeof(((struct "+name+" *)0)->"+cName+")"] = uint64(parent.Size())
		}
	}
	add("v4l2_capability", capability{}, "Driver=driver Card=card BusInfo=bus_info Capabilities=capabilities DeviceCaps=device_caps")
	add("v4l2_format", format{}, "Type=type Pix=fmt.pix")
	add("v4l2_format", formatMulti{}, "Type=type Pix=fmt.pix_mp")
	add("v4l2_pix_format", pixFormat{}, "Width=width Height=height PixelFormat=pixelformat Field=field BytesPerLine=bytesperline "+
		"SizeImage=sizeimage Colorspace=colorspace Priv=priv YCbCrEnc=ycbcr_enc Quantization=quantization")
	add("v4l2_pix_format_mplane", pixFormatMulti{}, "Width=width Height=height PixelFormat=pixelformat Field=field "+
		"Colorspace=colorspace Planes=plane_fmt NumPlanes=num_planes YCbCrEnc=ycbcr_enc Quantization=quantization")
	add("v4l2_plane_pix_format", planeFormat{}, "SizeImage=sizeimage BytesPerLine=bytesperline")
	add("v4l2_requestbuffers", requestBuffers{}, "Count=count Type=type Memory=memory")
	add("v4l2_buffer", buffer{}, "Index=index Type=type BytesUsed=bytesused Flags=flags Field=field Seconds=timestamp.tv_sec "+
		"Micros=timestamp.tv_usec Sequence=sequence Memory=memory Where=m Length=length")
	add("v4l2_plane", plane{}, "BytesUsed=bytesused Length=length Where=m DataOffset=data_offset")
	add("v4l2_streamparm", streamParm{}, "Type=type Capability=parm.capture.capability "+
		"Numerator=parm.capture.timeperframe.numerator Denominator=parm.capture.timeperframe.denominator")
	add("v4l2_fmtdesc", formatItem{}, "Index=index Type=type Flags=flags Description=description PixelFormat=pixelformat")
	add("v4l2_frmsizeenum", sizeItem{}, "Index=index PixelFormat=pixel_format Type=type Numbers=stepwise")
	add("v4l2_frmivalenum", intervalItem{}, "Index=index PixelFormat=pixel_format Width=width Height=height Type=type Numbers=stepwise")
	add("v4l2_queryctrl", controlItem{}, "ID=id Type=type Name=name Min=minimum Max=maximum Step=step Default=default_value Flags=flags")
	add("v4l2_control", controlValue{}, "ID=id Value=value")

	var expressions []string
	for e := range want {
		expressions = append(expressions, e)
	}
	for i, got := range compile(t, expressions) {
		if e := expressions[i]; got != fmt.Sprintf("%#x", want[e]) && (want[e] != 0 || got != "0") {
			t.Errorf("%s is %s in C, and %#x here", e, got, want[e])
		}
	}
}

// What a driver leaves open means what the header's own macros say.
func TestColourDefaultsAreTheKernels(t *testing.T) {
	type question struct {
		colorspace uint32
		pixel      capture.PixelFormat
	}
	var questions []question
	var expressions []string
	for colorspace := range uint32(13) {
		for pixel, rgb := range map[capture.PixelFormat]int{capture.NV12: 0, capture.BGR24: 1} {
			questions = append(questions, question{colorspace, pixel})
			expressions = append(expressions, fmt.Sprintf("V4L2_MAP_YCBCR_ENC_DEFAULT(%d)", colorspace),
				fmt.Sprintf("V4L2_MAP_QUANTIZATION_DEFAULT(%d, %d, 0)", rgb, colorspace))
		}
	}
	answers := compile(t, expressions)
	for i, q := range questions {
		matrix, values := pixels{format: q.pixel, colorspace: q.colorspace}.colour()
		wantMatrix := capture.BT601
		if !slices.Contains([]string{"0x1", "0x3", "0x5"}, answers[2*i]) { // ENC_601, XV601, SYCC; the others are near 709
			wantMatrix = capture.BT709
		}
		wantValues := capture.Limited
		if answers[2*i+1] == "0x1" { // QUANTIZATION_FULL_RANGE
			wantValues = capture.Full
		}
		if matrix != wantMatrix || values != wantValues {
			t.Errorf("colour space %d, %s: matrix %d, range %d, not %d, %d", q.colorspace, q.pixel, matrix, values, wantMatrix, wantValues)
		}
	}
}

func TestRawSensorFormatsAreKnown(t *testing.T) {
	text, err := os.ReadFile(header)
	if err != nil {
		t.Skipf("no kernel header to compare with: %v", err)
	}
	codes := regexp.MustCompile(`(?m)^#define V4L2_PIX_FMT_(\w+)\s+v4l2_fourcc\('(.)', '(.)', '(.)', '(.)'\)`)
	raw := regexp.MustCompile(`SBGGR|SGBRG|SGRBG|SRGGB`)
	n := 0
	for _, m := range codes.FindAllStringSubmatch(string(text), -1) {
		code := capture.FourCC(m[2] + m[3] + m[4] + m[5])
		if want := raw.MatchString(m[1]); bayer(code) != want {
			t.Errorf("%s (%s): raw %t", m[1], code, !want)
		} else if want {
			n++
		}
	}
	if n < 30 {
		t.Errorf("only %d raw formats found in the header", n)
	}
}

func TestNode(t *testing.T) {
	null, err := openNode("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := capabilities(null); err == nil || err.Error() != "it is not a video device" {
		t.Errorf("/dev/null: %v", err)
	}
	fd := null.(*node).fd
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a child would inherit the camera: flags %#x, %v", flags, err)
	}
	if err := null.close(); err != nil {
		t.Error(err)
	}
	if _, err := openNode("/dev/no-such-camera"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("error %v", err)
	}

	memory, err := unix.MemfdCreate("buffer", 0)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	if _, err := unix.Pwrite(memory, bytes.Repeat([]byte{7}, 2*page), 0); err != nil {
		t.Fatal(err)
	}
	m := &node{memory}
	data, unmap, err := m.mmap(int64(page), page)
	if err != nil || len(data) != page || data[page-1] != 7 {
		t.Errorf("mapped %d bytes, %v", len(data), err)
	}
	if err := unmap(); err != nil {
		t.Error(err)
	}
	if _, _, err := m.mmap(1, page); err == nil {
		t.Error("mapped at an offset inside a page")
	}
	if err := m.close(); err != nil {
		t.Error(err)
	}

	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	p := &node{pipe[0]}
	if revents, err := p.poll(1e6); revents != 0 || err != nil {
		t.Errorf("nothing to read: %#x, %v", revents, err)
	}
	if _, err := unix.Write(pipe[1], []byte{1}); err != nil {
		t.Fatal(err)
	}
	if revents, err := p.poll(1e9); revents != unix.POLLIN || err != nil {
		t.Errorf("a byte to read: %#x, %v", revents, err)
	}
	unix.Close(pipe[1])
	if revents, err := p.poll(1e9); revents&unix.POLLHUP == 0 || err != nil {
		t.Errorf("closed: %#x, %v", revents, err)
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}

func TestMonotonicIsTheKernelsClock(t *testing.T) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Skip(err)
	}
	var uptime float64
	if _, err := fmt.Sscan(string(text), &uptime); err != nil {
		t.Fatal(err)
	}
	a, b := monotonic(), monotonic()
	if a <= 0 || b < a || a.Seconds() > uptime+60 { // the uptime counts the machine's sleep too, so it may be far ahead
		t.Errorf("%v, %v, uptime %g s", a, b, uptime)
	}
}

func TestDescriptorsOfTheLibraryAreKeptFromChildren(t *testing.T) {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	other, err := unix.Open("/dev/zero", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	if err := closeOnExec("/dev/null"); err != nil {
		t.Fatal(err)
	}
	for fd, want := range map[int]int{fd: unix.FD_CLOEXEC, other: 0} {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags != want {
			t.Errorf("descriptor %d: flags %#x, not %#x; %v", fd, flags, want, err)
		}
	}
	if _, err := openCatalogue("/dev/null"); err == nil {
		t.Error("/dev/null has a catalogue")
	}
}

// The kernel writes behind the structures' pointers: each must be as large as its request says.
func TestArgumentsHaveTheSizeOfTheirRequest(t *testing.T) {
	for request, size := range map[uint32]uintptr{
		reqQueryBuf: unsafe.Sizeof(buffer{}), reqDequeue: unsafe.Sizeof(buffer{}),
		reqStreamOff: unsafe.Sizeof(typeCapture), reqGetParm: unsafe.Sizeof(streamParm{}),
	} {
		if uintptr(request>>16&0x3fff) != size {
			t.Errorf("%#x takes %d bytes, not %d", request, request>>16&0x3fff, size)
		}
	}
}

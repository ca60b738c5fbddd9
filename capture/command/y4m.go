package command

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"vedette/capture"
)

// maxHeader is the most bytes of a header line; mjpegtools write less than 100.
const maxHeader = 512

// y4mReader reads YUV4MPEG2 (mjpegtools' yuv4mpeg(5)): a header line, then for each frame a line and its planes.
type y4mReader struct {
	input  *bufio.Reader
	offset int64 // bytes read, for error messages
	format capture.Format
}

func newY4MReader(input *bufio.Reader) (*y4mReader, error) {
	r := &y4mReader{input: input}
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0] != "YUV4MPEG2" {
		return nil, fmt.Errorf("byte 0: the program does not write Y4M: it begins with %q", cut(line))
	}
	r.format, err = parseHeader(fields[1:])
	if err != nil {
		return nil, fmt.Errorf("byte 0: Y4M header: %w", err)
	}
	return r, nil
}

func cut(text string) string { return text[:min(len(text), 32)] }

func parseHeader(fields []string) (capture.Format, error) {
	f := capture.Format{Pixel: capture.I420, Matrix: capture.BT601, Range: capture.Limited}
	for _, field := range fields {
		value := field[1:]
		var err error
		switch field[0] {
		case 'W':
			f.Width, err = dimension(value)
		case 'H':
			f.Height, err = dimension(value)
		case 'F':
			f.Interval, err = interval(value)
		case 'C':
			f.Pixel, err = colourSpace(value)
			if value == "420jpeg" {
				f.Range = capture.Limited // it tells of the chroma's place only; ffmpeg says the range in XCOLORRANGE
			}
		case 'I':
			if value != "p" && value != "?" {
				err = fmt.Errorf("interlaced video (%q) is not read: let the program deinterlace it", field)
			}
		case 'X':
			if value == "COLORRANGE=FULL" {
				f.Range = capture.Full
			}
		}
		if err != nil {
			return f, err
		}
	}
	if f.Width == 0 || f.Height == 0 {
		return f, errors.New("width or height is missing")
	}
	f = f.Packed()
	return f, f.Validate()
}

func dimension(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no width or height", text)
	}
	return int(n), nil
}

// interval reads a rate such as 30000:1001. 0:0 means unknown.
func interval(text string) (time.Duration, error) {
	a, b, ok := strings.Cut(text, ":")
	frames, errA := strconv.ParseUint(a, 10, 31)
	seconds, errB := strconv.ParseUint(b, 10, 31)
	if !ok || errA != nil || errB != nil {
		return 0, fmt.Errorf("%q is no rate", text)
	}
	if frames == 0 {
		return 0, nil
	}
	return time.Duration(float64(seconds) / float64(frames) * float64(time.Second)), nil
}

func colourSpace(text string) (capture.PixelFormat, error) {
	switch text {
	case "420", "420jpeg", "420mpeg2", "420paldv":
		return capture.I420, nil
	case "mono":
		return capture.Grey, nil
	}
	return 0, fmt.Errorf("colour space %q is not read: let the program convert it, for ffmpeg by -pix_fmt yuv420p", cut(text))
}

// frame reads the next frame into data, which has FrameBytes bytes. io.EOF is the stream's end.
func (r *y4mReader) frame(data []byte) error {
	at := r.offset
	line, err := r.line()
	if err != nil {
		return err
	}
	if line != "FRAME" && !strings.HasPrefix(line, "FRAME ") {
		return fmt.Errorf("byte %d: not a Y4M frame: %q", at, cut(line))
	}
	n, err := io.ReadFull(r.input, data)
	r.offset += int64(n)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("byte %d: the last frame is cut off", r.offset)
		}
		return err
	}
	return nil
}

// line reads up to a newline, which it leaves out.
func (r *y4mReader) line() (string, error) {
	var line []byte
	for {
		part, err := r.input.ReadSlice('\n')
		line = append(line, part...)
		r.offset += int64(len(part))
		switch {
		case len(line) > maxHeader:
			return "", fmt.Errorf("byte %d: a line of more than %d bytes: not Y4M", r.offset, maxHeader)
		case err == nil:
			return string(bytes.TrimSuffix(line, []byte{'\n'})), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return "", fmt.Errorf("byte %d: the stream is cut off within a line: %q", r.offset, cut(string(line)))
		default:
			return "", err
		}
	}
}

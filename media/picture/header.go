package picture

// The header of a file, read before anything is decoded (inspect): the format by its first bytes,
// the size, the memory that decoding takes, and the orientation.

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"stoa/problem"
)

// header is everything known of a file before it is decoded.
type header struct {
	format        format
	width, height int   // as stored
	turn          int   // Exif orientation, 1 to 8; 1 is upright
	perPixel      int64 // bytes that decoding takes
	scans         int64 // of a JPEG, over the whole picture each; 0 for other formats
}

// inspect reads the header of file, and refuses a file that won't be decoded.
func inspect(file io.ReadSeeker) (header, error) {
	h := header{turn: 1}
	start := make([]byte, 32)
	n, err := readAt(file, 0, start)
	if err != nil {
		return h, err
	}
	switch start = start[:n]; {
	case bytes.HasPrefix(start, []byte("\xff\xd8\xff")):
		h.format = jpegFormat
	case bytes.HasPrefix(start, []byte("\x89PNG\r\n\x1a\n")):
		h.format = pngFormat
	case bytes.HasPrefix(start, []byte("GIF87a")), bytes.HasPrefix(start, []byte("GIF89a")):
		h.format = gifFormat
	case len(start) >= 12 && string(start[:4]) == "RIFF" && string(start[8:12]) == "WEBP":
		h.format = webpFormat
		if len(start) > 20 && string(start[12:16]) == "VP8X" && start[20]&2 != 0 {
			return h, problem.New(problem.Invalid, "the WebP moves: save one picture of it as a file")
		}
	default:
		return h, problem.New(problem.Invalid, "the content of the file is no JPEG, PNG, GIF or WebP: save it as one of these")
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return h, fmt.Errorf("read a picture: %w", err)
	}
	config, err := h.format.config(file)
	if err != nil {
		return h, problem.New(problem.Invalid, "the file is no whole %s: %.100s", h.format.name, err)
	}
	h.width, h.height = config.Width, config.Height
	if h.width < 1 || h.height < 1 || h.width > MaxSide || h.height > MaxSide || h.width*h.height > maxPixels {
		return h, problem.New(problem.Invalid, "the picture has %d × %d pixels: a side may have %d at most, and all of it %d megapixels", h.width, h.height, MaxSide, maxPixels/1_000_000)
	}
	switch h.format.name {
	case jpegFormat.name:
		h.perPixel = costliestJPEG
		h.walkJPEG(file)
	case pngFormat.name:
		h.perPixel = costOfPNG(start)
		h.walkChunks(file, 8, binary.BigEndian, 4, "eXIf")
	case gifFormat.name:
		h.perPixel = 1 + 4 // 4 for the copy of a picture that covers only a part of its canvas
	case webpFormat.name:
		h.perPixel = 4 + 4 // 4 for the copy of a transparent picture, since it is decoded into planes
		h.walkChunks(file, 12, binary.LittleEndian, 0, "EXIF")
	}
	return h, nil
}

// cost estimates the memory of decoding and scaling, in bytes: the decoded picture, a copy of it if
// it is turned, a byte a pixel for the written file, and all widths at once.
func (h header) cost() int64 {
	pixels := int64(h.width) * int64(h.height)
	width, height := int64(h.width), int64(h.height)
	if h.turn > 4 {
		width, height = height, width
	}
	scaled := int64(0)
	for _, w := range Widths {
		if int64(w) < width {
			scaled += int64(w) * (int64(w)*height/width + 1)
		}
	}
	turned := int64(0)
	if h.turn != 1 {
		turned = 4
	}
	return pixels*(h.perPixel+turned+1) + 4*scaled + 1<<20
}

// scansOfPixel is how many scans of a JPEG take as long as the rest of the work for its pixels: a scan
// takes 0.1 to 15 ns a pixel, the rest some 70 (BenchmarkMake).
const scansOfPixel = 16

// work is the time that the file takes, in pixels of a usual one: its own, whatever is in it, and
// more for a JPEG of many scans. A usual pixel takes some 70 ns.
func (h header) work() int64 {
	pixels := int64(h.width) * int64(h.height)
	return pixels + pixels*h.scans/scansOfPixel
}

// costOfPNG is the memory that a pixel of a PNG takes, in bytes, by its first chunk: its size after
// decoding, and its size after plain.
func costOfPNG(start []byte) int64 {
	const deep = 8 + 4
	if len(start) < 29 || start[24] == 16 {
		return deep
	}
	cost := int64(4)
	switch start[25] {
	case 0: // gray, decoded into four channels if one gray is transparent
		cost = 4 + 4
	case 3: // of a palette
		cost = 1
	}
	if start[28] != 0 { // interlaced: the last pass is stored apart, half of the picture
		cost += (cost + 1) / 2
	}
	return cost
}

// maxSegments is the number of segments that are searched for the orientation. Cameras write it
// into one of the first few.
const maxSegments = 1000

// walkJPEG reads the segments before a JPEG's first scan: its encoding, and Exif.
func (h *header) walkJPEG(file io.ReadSeeker) {
	at, frameCost, madeRGB := int64(2), int64(costliestJPEG), int64(0)
	for range maxSegments {
		var marker [4]byte
		if n, err := readAt(file, at, marker[:]); err != nil || n < 4 || marker[0] != 0xff {
			return
		}
		if marker[1] == 0xff { // a fill byte
			at++
			continue
		}
		length := int64(binary.BigEndian.Uint16(marker[2:]))
		switch code := marker[1]; {
		case code == 0xda || length < 2: // a scan begins
			h.scans = countScans(file, at)
			return
		case code >= 0xc0 && code <= 0xc2:
			frame := make([]byte, min(length, 32))
			n, _ := readAt(file, at+4, frame)
			frameCost = costOfFrame(frame[:n], code == 0xc2)
			h.perPixel = frameCost + madeRGB
		case code == 0xee: // Adobe's segment: the three components may be RGB
			adobe := make([]byte, min(length, 12))
			if n, _ := readAt(file, at+4, adobe); n == 12 && string(adobe[:5]) == "Adobe" && adobe[11] == 0 {
				madeRGB = 4
				h.perPixel = frameCost + madeRGB
			}
		case code == 0xe1:
			exif := make([]byte, min(length, maxExif))
			n, _ := readAt(file, at+4, exif)
			if tiff, ok := bytes.CutPrefix(exif[:n], []byte("Exif\x00\x00")); ok && h.turn == 1 {
				h.turn = orientation(tiff)
			}
		}
		at += 2 + length
	}
}

// countScans counts the scans from a position up to the end of a JPEG's picture. Neither marker can occur
// in the data of a scan; in a segment between scans it may count once too often.
func countScans(file io.ReadSeeker, at int64) (n int64) {
	if _, err := file.Seek(at, io.SeekStart); err != nil {
		return 1
	}
	for reader, last := bufio.NewReaderSize(file, 64<<10), byte(0); ; {
		c, err := reader.ReadByte()
		if err != nil || last == 0xff && c == 0xd9 {
			return n
		}
		if last == 0xff && c == 0xda {
			n++
		}
		last = c
	}
}

// costliestJPEG is for a JPEG of unknown encoding: four progressive components.
const costliestJPEG = 4*5 + 8

// costOfFrame is the memory that a pixel of a JPEG takes to decode, in bytes, rounded up: one for
// each sample, and five if it is progressive, since image/jpeg then stores coefficients of 32 bits.
// CMYK needs a copy in RGB besides.
func costOfFrame(frame []byte, progressive bool) int64 {
	if len(frame) < 6 {
		return costliestJPEG
	}
	components := int(frame[5])
	if components < 1 || components > 4 || len(frame) < 6+3*components {
		return costliestJPEG
	}
	samples, largest := int64(0), int64(1)
	for i := range components {
		sampling := frame[6+3*i+1]
		n := int64(sampling>>4) * int64(sampling&15)
		samples, largest = samples+n, max(largest, n)
	}
	if components == 1 {
		samples = largest // a single component has no other to be sampled against
	}
	perSample := int64(1)
	if progressive {
		perSample = 5
	}
	cost := (samples*perSample + largest - 1) / largest
	if components == 4 {
		cost += 8
	}
	return cost
}

// walkChunks searches a PNG or a WebP for its Exif chunk. Chunks begin at start. In a PNG the
// length comes before the name, and a checksum of four bytes after the content; in a WebP the name
// comes first, and the content is padded to an even length.
func (h *header) walkChunks(file io.ReadSeeker, start int64, order binary.ByteOrder, behind int64, name string) {
	at := start
	for range maxSegments {
		var chunk [8]byte
		if n, err := readAt(file, at, chunk[:]); err != nil || n < len(chunk) {
			return
		}
		lengthAt, nameAt := 0, 4
		if behind == 0 {
			lengthAt, nameAt = 4, 0
		}
		length := int64(order.Uint32(chunk[lengthAt:]))
		if string(chunk[nameAt:nameAt+4]) == name {
			exif := make([]byte, min(length, maxExif))
			n, _ := readAt(file, at+8, exif)
			h.turn = orientation(bytes.TrimPrefix(exif[:n], []byte("Exif\x00\x00")))
			return
		}
		at += 8 + length + behind
		if behind == 0 {
			at += length & 1
		}
	}
}

// maxExif is the number of bytes of Exif that are read. The orientation is in its first directory,
// and cameras write that to the front.
const maxExif = 64 << 10

// orientation reads the orientation out of Exif, a TIFF (CIPA DC-008, tag 0x0112 of the 0th IFD); 1
// if there is none.
func orientation(tiff []byte) int {
	var order binary.ByteOrder
	switch {
	case len(tiff) < 8:
		return 1
	case string(tiff[:4]) == "II*\x00":
		order = binary.LittleEndian
	case string(tiff[:4]) == "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := int64(order.Uint16(tiff[at:]))
	for i := range entries {
		entry := at + 2 + 12*i
		if entry+12 > int64(len(tiff)) {
			return 1
		}
		if order.Uint16(tiff[entry:]) == 0x0112 && order.Uint16(tiff[entry+2:]) == 3 { // a short
			if o := int(order.Uint16(tiff[entry+8:])); o >= 1 && o <= 8 {
				return o
			}
			return 1
		}
	}
	return 1
}

// readAt reads from a position until into is full or the file ends.
func readAt(file io.ReadSeeker, at int64, into []byte) (int, error) {
	if _, err := file.Seek(at, io.SeekStart); err != nil {
		return 0, fmt.Errorf("read a picture: %w", err)
	}
	n, err := io.ReadFull(file, into)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return n, fmt.Errorf("read a picture: %w", err)
	}
	return n, nil
}

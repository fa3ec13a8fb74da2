package picture

// Damaged files: those that browsers show, and those that stay refused.

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/color/palette"
	"strings"
	"testing"
)

// damaged flips the bits of the checksum of a PNG's first chunk with a name.
func damaged(t *testing.T, file []byte, name string) []byte {
	t.Helper()
	at := bytes.Index(file, []byte(name))
	if at < 4 {
		t.Fatalf("the file has no %s", name)
	}
	length := int(binary.BigEndian.Uint32(file[at-4:]))
	out := bytes.Clone(file)
	out[at+4+length] ^= 0xff
	return out
}

func TestFilesThatBrowsersShowAreTaken(t *testing.T) {
	jpeg := asJPEG(t, photo(700, 350))
	png := withChunk(asPNG(t, photo(700, 350)), "tEXt", []byte("Comment\x00by a camera"))
	clear := image.NewPaletted(image.Rect(0, 0, 700, 350), color.Palette{color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 0, 0, 0}})
	opaque := image.NewPaletted(image.Rect(0, 0, 700, 350), palette.Plan9)
	many := scans(64, 64, 3)
	cases := map[string]struct {
		reason      string
		file, whole []byte
	}{
		"JPEG":        {"without its end marker", jpeg[:len(jpeg)-2], jpeg},
		"JPEGHalf":    {"with half of it", jpeg[:len(jpeg)-1], jpeg},
		"Progressive": {"of several scans", many[:len(many)-2], many},
		"PNGText":     {"a wrong checksum of a text", damaged(t, png, "tEXt"), png},
		"PNGLate":     {"of one behind the picture", damaged(t, behind(png, "zTXt"), "zTXt"), png},
		"PNGPalette":  {"of one before the palette", damaged(t, withChunk(asPNG(t, opaque), "tIME", make([]byte, 7)), "tIME"), asPNG(t, opaque)},
		"PNGEnd":      {"without its last chunk", png[:len(png)-12], png},
		"PNGClear":    {"transparency stays", withChunk(asPNG(t, clear), "tEXt", []byte("x\x00y")), asPNG(t, clear)},
	}
	m := New(Options{})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			whole, err := m.made(t.Context(), c.whole)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.made(t.Context(), c.file)
			if err != nil {
				t.Fatalf("%s: %v", c.reason, err)
			}
			if !bytes.Equal(got.whole, whole.whole) {
				t.Errorf("%s: it isn't the picture of the undamaged file", c.reason)
			}
		})
	}
	cut := jpeg[:len(jpeg)-40] // some blocks of the last row
	got, err := m.made(t.Context(), cut)
	if err != nil {
		t.Fatalf("a JPEG without its last bytes: %v", err)
	}
	if a, b := read(t, got.whole), read(t, jpeg); !near(a.At(350, 40), b.At(350, 40)) || !near(a.At(20, 300), b.At(20, 300)) {
		t.Error("the rest of the picture is another one")
	}
}

// behind puts a chunk before a PNG's last.
func behind(file []byte, name string) []byte {
	marked := withChunk(file, name, []byte("text"))
	chunk := marked[8+25 : len(marked)-len(file)+8+25]
	at := len(file) - 12
	return append(append(bytes.Clone(file[:at]), chunk...), file[at:]...)
}

func TestBrokenPicturesStayRefused(t *testing.T) {
	jpeg, png := asJPEG(t, photo(700, 350)), asPNG(t, photo(700, 350))
	cases := map[string]struct {
		reason string
		file   []byte
	}{
		"JPEGHalf":   {"a JPEG cut off in the middle", jpeg[:len(jpeg)/2]},
		"PNGHalf":    {"a PNG cut off in the middle", png[:len(png)/2]},
		"PNGPixels":  {"a wrong checksum of the pixels", damaged(t, png, "IDAT")},
		"PNGHeader":  {"a wrong checksum of the header", damaged(t, png, "IHDR")},
		"PNGNothing": {"a PNG of a signature", png[:8]},
		"PNGLong":    {"a text that says that it is longer than the file", append(bytes.Clone(png[:33]), "\x7f\xff\xff\xfftEXtx"...)},
	}
	m := New(Options{})
	for name, c := range cases {
		_, err := m.made(t.Context(), c.file)
		if err == nil || !strings.Contains(err.Error(), "no whole") {
			t.Errorf("%s: %s: %v", name, c.reason, err)
		}
	}
}

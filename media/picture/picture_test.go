package picture

// Pictures of every layout and orientation, refused and hostile files, limits, and the quality of
// scaling. It has the benchmark of making pictures, too.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stoa/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// photo is a picture of many colours, with four different corners: red, green, blue, white,
// clockwise from the top left.
func photo(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	noise := rand.New(rand.NewPCG(1, 2))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{byte(x*255/w) ^ byte(noise.IntN(8)), byte(y * 255 / h), byte((x + y) * 127 / (w + h)), 255})
		}
	}
	for at, c := range corners(w, h) {
		for y := range h / 4 {
			for x := range w / 4 {
				m.Set(min(max(at.X+x-w/8, 0), w-1), min(max(at.Y+y-h/8, 0), h-1), c)
			}
		}
	}
	return m
}

func corners(w, h int) map[image.Point]color.RGBA {
	return map[image.Point]color.RGBA{
		{w / 8, h / 8}: {255, 0, 0, 255}, {w - w/8, h / 8}: {0, 255, 0, 255}, {w - w/8, h - h/8}: {0, 0, 255, 255}, {w / 8, h - h/8}: {255, 255, 255, 255},
	}
}

func asJPEG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 92}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asPNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asGIF(t testing.TB, m *gif.GIF) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exifSecrets are private facts in Exif that a picture must not show.
var exifSecrets = []string{"GPS-52.5163N-13.3777E", "Owner Name", "Serial 12345"}

// exif is a TIFF with an orientation, and with secrets after it.
func exif(order binary.ByteOrder, orientation int) []byte {
	b := []byte("II*\x00")
	if order == binary.BigEndian {
		b = []byte("MM\x00*")
	}
	put16 := func(v uint16) { b = order.(binary.AppendByteOrder).AppendUint16(b, v) }
	put32 := func(v uint32) { b = order.(binary.AppendByteOrder).AppendUint32(b, v) }
	put32(8)
	put16(2)
	put16(0x010f) // Make: text, beyond the directory
	put16(2)
	put32(12)
	put32(38)
	put16(0x0112)
	put16(3)
	put32(1)
	put16(uint16(orientation))
	put16(0)
	put32(0)
	return append(b, strings.Join(exifSecrets, "\x00")...)
}

// withExif puts Exif, XMP and a comment into a JPEG.
func withExif(file, tiff []byte) []byte {
	segment := func(marker byte, content []byte) []byte {
		return append([]byte{0xff, marker, byte((len(content) + 2) >> 8), byte(len(content) + 2)}, content...)
	}
	var b []byte
	b = append(b, file[:2]...)
	b = append(b, segment(0xe1, append([]byte("Exif\x00\x00"), tiff...))...)
	b = append(b, segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x>"+exifSecrets[0]+"</x>"))...)
	b = append(b, segment(0xfe, []byte(exifSecrets[1]))...)
	return append(b, file[2:]...)
}

// withChunk puts a chunk into a PNG, after its first.
func withChunk(file []byte, name string, content []byte) []byte {
	const at = 8 + 25
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
	chunk = append(append(chunk, name...), content...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	return append(append(append([]byte{}, file[:at]...), chunk...), file[at:]...)
}

// The smallest WebP there is: one pixel, lossless (developers.google.com/speed/webp).
var webpFile = []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00")

// made is the result for a file.
type made struct {
	kind          Kind
	width, height int
	whole         []byte
	smaller       map[int][]byte
}

func (m *Maker) made(ctx context.Context, file []byte) (made, error) {
	out := made{smaller: map[int][]byte{}}
	err := m.Open(ctx, bytes.NewReader(file), free, func(p *Picture) error {
		out.kind, out.width, out.height = p.Kind, p.Width, p.Height
		smaller, err := p.Smaller()
		if err != nil {
			return err
		}
		for _, s := range append(smaller, p) {
			var b bytes.Buffer
			if err := s.Write(&b); err != nil {
				return err
			}
			if s == p {
				out.whole = b.Bytes()
			} else {
				out.smaller[s.Width] = b.Bytes()
			}
		}
		return nil
	})
	return out, err
}

func read(t testing.TB, file []byte) image.Image {
	t.Helper()
	m, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func near(a, b color.Color) bool {
	ar, ag, ab, aa := a.RGBA()
	br, bg, bb, ba := b.RGBA()
	far := func(x, y uint32) bool { return max(x, y)-min(x, y) > 20<<8 }
	return !far(ar, br) && !far(ag, bg) && !far(ab, bb) && !far(aa, ba)
}

func TestEveryFormatBecomesWhatCanBeShown(t *testing.T) {
	flat := image.NewPaletted(image.Rect(0, 0, 700, 350), palette.Plan9)
	glass := image.NewNRGBA(image.Rect(0, 0, 700, 350))
	for i := range glass.Pix {
		glass.Pix[i] = byte(i)
	}
	part := image.NewPaletted(image.Rect(100, 100, 200, 150), palette.WebSafe)
	deep := image.NewRGBA64(image.Rect(0, 0, 700, 350))
	for i := range deep.Pix {
		deep.Pix[i] = byte(i * i / 700)
		if i%8 >= 6 {
			deep.Pix[i] = 255
		}
	}
	gray := image.NewGray(image.Rect(0, 0, 700, 350))
	moving := &gif.GIF{Config: image.Config{Width: 700, Height: 350, ColorModel: color.Palette(palette.WebSafe)}}
	for range 3000 {
		moving.Image, moving.Delay = append(moving.Image, part), append(moving.Delay, 1)
	}
	cases := map[string]struct {
		reason string
		file   []byte
		kind   Kind
	}{
		"JPEG":        {"a photograph stays one", asJPEG(t, photo(700, 350)), JPEG},
		"JPEGGray":    {"without colours too", asJPEG(t, gray), JPEG},
		"PNGPhoto":    {"a photograph is smaller as JPEG", asPNG(t, photo(700, 350)), JPEG},
		"PNGFlat":     {"few colours stay sharp", asPNG(t, flat), PNG},
		"PNGClear":    {"transparency stays", asPNG(t, glass), PNG},
		"PNGDeep":     {"sixteen bits become eight", asPNG(t, deep), JPEG},
		"PNGGray":     {"a drawing", asPNG(t, gray), PNG},
		"GIF":         {"few colours", asGIF(t, &gif.GIF{Image: []*image.Paletted{flat}, Delay: []int{0}}), PNG},
		"GIFMoving":   {"its first picture, and the part of the canvas that it leaves free; 3,000 others cost nothing", asGIF(t, moving), PNG},
		"JPEGAndMore": {"bytes after the picture are dropped: a polyglot is one no more", append(asJPEG(t, photo(700, 350)), "PK\x03\x04<script>alert(1)</script>"...), JPEG},
	}
	m := New(Options{})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := m.made(t.Context(), c.file)
			if err != nil {
				t.Fatalf("%s: %v", c.reason, err)
			}
			if out.kind != c.kind || out.width != 700 || out.height != 350 || len(out.smaller) != 2 {
				t.Errorf("%s: %s of %d × %d in %d smaller widths", c.reason, out.kind, out.width, out.height, len(out.smaller))
			}
			original := read(t, c.file)
			for w, file := range map[int][]byte{700: out.whole, 320: out.smaller[320], 640: out.smaller[640]} {
				shown := read(t, file)
				if b := shown.Bounds(); b.Dx() != w || b.Dy() != w/2 {
					t.Errorf("%d wide: %v", w, b)
				}
				if _, format, _ := image.DecodeConfig(bytes.NewReader(file)); format[:2] != string(c.kind[:2]) && c.kind == PNG {
					t.Errorf("%d wide is %s", w, format)
				}
				if bytes.Contains(file, []byte("script")) {
					t.Errorf("%d wide has bytes that aren't the picture's", w)
				}
			}
			if strings.HasPrefix(name, "JPEG") || name == "PNGPhoto" {
				for at := range corners(700, 350) {
					if got, want := read(t, out.smaller[320]).At(at.X*320/700, at.Y*320/700), original.At(at.X, at.Y); !near(got, want) {
						t.Errorf("at %v there is %v, not %v", at, got, want)
					}
				}
			}
			if name == "PNGClear" {
				if got, want := read(t, out.whole).At(10, 10), original.At(10, 10); got != want {
					t.Errorf("%v became %v", want, got)
				}
			}
		})
	}
	out, err := m.made(t.Context(), webpFile)
	if err != nil || out.width != 1 || out.height != 1 || len(out.smaller) != 0 {
		t.Errorf("a WebP becomes %+v, %v", out, err)
	}
}

func TestPicturesAreUprightAndTellNothing(t *testing.T) {
	// A picture turned so that the orientation turns it back: w and h are its upright size.
	const w, h = 330, 700
	upright := photo(w, h)
	back := []int{0, 1, 2, 3, 4, 5, 8, 7, 6}
	for o := 1; o <= 8; o++ {
		stored := turn(upright, back[o])
		for name, file := range map[string][]byte{
			"JPEGIntel":    withExif(asJPEG(t, stored), exif(binary.LittleEndian, o)),
			"JPEGMotorola": withExif(asJPEG(t, stored), exif(binary.BigEndian, o)),
			"PNG":          withChunk(withChunk(asPNG(t, stored), "tEXt", []byte("GPS\x00"+exifSecrets[0])), "eXIf", exif(binary.BigEndian, o)),
		} {
			out, err := New(Options{}).made(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			if out.width != w || out.height != h {
				t.Errorf("%s, orientation %d: %d × %d", name, o, out.width, out.height)
				continue
			}
			for _, made := range [][]byte{out.whole, out.smaller[320]} {
				shown := read(t, made)
				for at, c := range corners(w, h) {
					if got := shown.At(at.X*shown.Bounds().Dx()/w, at.Y*shown.Bounds().Dy()/h); !near(got, c) {
						t.Errorf("%s, orientation %d: at %v there is %v, not %v", name, o, at, got, c)
					}
				}
				for _, secret := range append(exifSecrets, "Exif", "eXIf", "tEXt", "ns.adobe.com") {
					if !bytes.Contains(file, []byte("GPS")) {
						t.Fatal("the test's own file has nothing to hide")
					}
					if bytes.Contains(made, []byte(secret)) {
						t.Errorf("%s: the result has %q", name, secret)
					}
				}
			}
		}
	}
}

// A JPEG of every layout is turned as its pixels are.
func TestTurningKeepsEveryLayout(t *testing.T) {
	for name, ratio := range map[string]image.YCbCrSubsampleRatio{
		"444": image.YCbCrSubsampleRatio444, "422": image.YCbCrSubsampleRatio422, "420": image.YCbCrSubsampleRatio420,
		"440": image.YCbCrSubsampleRatio440, "411": image.YCbCrSubsampleRatio411, "410": image.YCbCrSubsampleRatio410,
	} {
		m := image.NewYCbCr(image.Rect(0, 0, 40, 24), ratio)
		for i := range m.Y {
			m.Y[i] = byte(i)
		}
		for i := range m.Cb {
			m.Cb[i], m.Cr[i] = byte(7*i), byte(11*i)
		}
		reference := rgba(m)
		for o := 1; o <= 8; o++ {
			got, want := turn(m, o), turn(reference, o)
			if got.Bounds() != want.Bounds() {
				t.Fatalf("%s, %d: %v, not %v", name, o, got.Bounds(), want.Bounds())
			}
			for y := range want.Bounds().Dy() {
				for x := range want.Bounds().Dx() {
					if !near(got.At(x, y), want.At(x, y)) {
						t.Fatalf("%s, %d: at %d, %d there is %v, not %v", name, o, x, y, got.At(x, y), want.At(x, y))
					}
				}
			}
		}
	}
}

// pngOf is a PNG with a given size in its header, and with the data given.
func pngOf(w, h uint32, idat []byte) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(name string, content []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
		start := len(b)
		b = append(append(b, name...), content...)
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	chunk("IHDR", append(head, 8, 6, 0, 0, 0))
	chunk("IDAT", idat)
	chunk("IEND", nil)
	return b
}

// scans is a progressive JPEG of w × h pixels with n scans over all of them, each scan in some
// sixty bytes.
func scans(w, h, n int) []byte {
	b := []byte("\xff\xd8\xff\xc2\x00\x0b\x08")
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, uint16(h)), uint16(w))
	b = append(b, 1, 1, 0x11, 0)
	// An AC table of one code, 0, for "the next 2^14 and more blocks have nothing".
	b = append(append(b, 0xff, 0xc4, 0, 20, 0x10, 1), make([]byte, 15)...)
	b = append(b, 0xe0)
	blocks := ((w + 7) / 8) * ((h + 7) / 8)
	runs := (blocks + 1<<15 - 2) / (1<<15 - 1)
	var bits, data []byte
	for range runs {
		bits = append(bits, 0)
		for range 14 {
			bits = append(bits, 1)
		}
	}
	for len(bits)%8 != 0 {
		bits = append(bits, 1)
	}
	for i := 0; i < len(bits); i += 8 {
		v := byte(0)
		for _, bit := range bits[i : i+8] {
			v = v<<1 | bit
		}
		if data = append(data, v); v == 0xff {
			data = append(data, 0)
		}
	}
	for range n {
		b = append(b, 0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0)
		b = append(b, data...)
	}
	return append(b, 0xff, 0xd9)
}

func TestWhatIsNoPictureIsRefused(t *testing.T) {
	whole := asJPEG(t, photo(400, 300))
	png8 := asPNG(t, photo(400, 300))
	cases := map[string]struct {
		reason string
		file   []byte
		says   string
	}{
		"Empty":        {"nothing is no picture", nil, "no JPEG, PNG, GIF or WebP"},
		"SVG":          {"it can run scripts", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), "no JPEG, PNG, GIF or WebP"},
		"HTML":         {"a page, under the name of a picture", []byte("<!doctype html>"), "no JPEG, PNG, GIF or WebP"},
		"HEIC":         {"browsers can't show it", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), "no JPEG, PNG, GIF or WebP"},
		"Cut":          {"half a picture", whole[:len(whole)/2], "no whole JPEG"},
		"CutPNG":       {"half a picture", png8[:len(png8)/2], "no whole PNG"},
		"HeaderOnly":   {"the first bytes alone", whole[:3], "no whole JPEG"},
		"WebPCut":      {"half a picture", webpFile[:20], "no whole WebP"},
		"WebPNothing":  {"no picture in it", []byte("RIFF\x04\x00\x00\x00WEBP"), "no whole WebP"},
		"HugePNG":      {"a side that is too long", pngOf(1<<15, 4, []byte("x")), "a side may have"},
		"LongPNG":      {"all of it may be too much, too", pngOf(16_000, 16_000, []byte("x")), "megapixels"},
		"NoPixels":     {"no size at all", pngOf(0, 0, nil), "no whole PNG"},
		"Overflow":     {"a size that can't be multiplied", pngOf(0xffffffff, 0xffffffff, nil), "no whole PNG"},
		"HTMLInPNG":    {"a PNG by its first bytes only", []byte("\x89PNG\r\n\x1a\n<script>alert(1)</script>........."), "no whole PNG"},
		"SlowJPEG":     {"two hundred bytes for each second of work", scans(8000, 6000, 20_000), "took longer"},
		"CostlyJPEG":   {"more memory than there is", cmyk(8000, 6400), "would take"},
		"GIFNoPicture": {"a canvas alone", []byte("GIF89a\x10\x00\x10\x00\x00\x00\x00;"), "no whole GIF"},
	}
	m := New(Options{Longest: 2 * time.Second})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			_, err := m.made(t.Context(), c.file)
			var refused *problem.Error
			if !errors.As(err, &refused) || refused.Code != problem.Invalid || !strings.Contains(refused.Message, c.says) {
				t.Errorf("%s: %v, and it should say %q", c.reason, err, c.says)
			}
			t.Logf("%d bytes, %s: %v", len(c.file), time.Since(started).Round(time.Millisecond), err)
		})
	}
}

// cmyk is the header of a progressive JPEG of four components.
func cmyk(w, h int) []byte {
	b := []byte("\xff\xd8\xff\xc2\x00\x14\x08")
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, uint16(h)), uint16(w))
	b = append(b, 4)
	for i := range 4 {
		b = append(b, byte(i+1), 0x11, 0)
	}
	return append(b, 0xff, 0xda, 0, 14, 4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0, 0xff, 0xd9)
}

// Fifty megapixels of zeros are 200 KB. They are within the bounds, and may cost as much as any
// picture.
func TestABombWithinTheBoundsIsAPicture(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	file := asPNG(t, image.NewPaletted(image.Rect(0, 0, 8000, 6000), color.Palette{color.Black, color.White}))
	out, err := New(Options{}).made(t.Context(), file)
	if err != nil || out.width != 8000 || len(out.smaller) != len(Widths) {
		t.Errorf("%d bytes become %d × %d in %d smaller widths, %v", len(file), out.width, out.height, len(out.smaller), err)
	}
}

func TestOnlySoManyWait(t *testing.T) {
	m := New(Options{AtOnce: 1, MaxWaiting: 1})
	file := asPNG(t, image.NewGray(image.Rect(0, 0, 4, 4)))
	inside, leave := make(chan struct{}), make(chan struct{})
	results := make(chan error, 2)
	go func() {
		results <- m.Open(context.Background(), bytes.NewReader(file), free, func(*Picture) error { close(inside); <-leave; return nil })
	}()
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	go func() { results <- m.Open(ctx, bytes.NewReader(file), free, func(*Picture) error { return nil }) }()
	for m.waiting.Load() == 0 {
		runtime.Gosched()
	}
	err := m.Open(t.Context(), bytes.NewReader(file), free, func(*Picture) error { return nil })
	var refused *problem.Error
	if !errors.As(err, &refused) || refused.Code != problem.Throttled || refused.RetryAfter == 0 {
		t.Errorf("one too many got %v", err)
	}
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the upload that gave up got %v", err)
	}
	close(leave)
	if err := <-results; err != nil {
		t.Errorf("the upload before it got %v", err)
	}
	if !m.memory.TryAcquire(m.limit) {
		t.Error("memory wasn't given back")
	}
}

// bomb is a GIF of 7200 × 7200 pixels, of which one is in the file.
const bomb = "GIF89a\x20\x1c\x20\x1c\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// A picture's work is known from its header, and may be refused before it is decoded.
func TestWorkIsKnownBeforeDecoding(t *testing.T) {
	cases := map[string]struct {
		reason string
		file   []byte
		want   int64 // pixels
	}{
		"GIF":         {"its first picture may be small, and the canvas isn't", []byte(bomb), 7200 * 7200},
		"PNG":         {"one colour takes as much as many", asPNG(t, image.NewPaletted(image.Rect(0, 0, 800, 600), color.Palette{color.Black})), 800 * 600},
		"JPEG":        {"one scan", asJPEG(t, photo(400, 300)), 400 * 300 * 17 / 16},
		"Progressive": {"every scan goes over the whole picture", scans(64, 64, 160), 64 * 64 * 11},
		"WebP":        {"by its pixels, too", webpFile, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			refused := errors.New("refused")
			err := New(Options{}).Open(t.Context(), bytes.NewReader(c.file), func(pixels int64) error {
				if c.want == 0 && pixels > 0 || pixels == c.want {
					return refused
				}
				return fmt.Errorf("%d pixels, want %d", pixels, c.want)
			}, func(*Picture) error { return errors.New("it is decoded") })
			if err != refused {
				t.Errorf("%s: %v", c.reason, err)
			}
		})
	}
}

// free lets any work be done.
func free(int64) error { return nil }

// An error of the disk is no fault of the picture.
func TestAReaderThatFailsIsOurFault(t *testing.T) {
	file := asJPEG(t, photo(400, 300))
	broken := errors.New("the disk is broken")
	err := New(Options{}).Open(t.Context(), &failing{bytes.NewReader(file), broken}, free, func(*Picture) error { return nil })
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type failing struct {
	*bytes.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	if at, _ := f.Seek(0, io.SeekCurrent); at > 8000 {
		return 0, f.err
	}
	return f.Reader.Read(p)
}

// A smaller picture shows the same as the larger one: the mean of every width is the picture's.
func TestScalingKeepsTheMean(t *testing.T) {
	for _, size := range []image.Point{{321, 1}, {2561, 3}, {641, 479}, {1000, 1333}, {4032, 30}, {1281, 5000}, {320, 100}} {
		m := image.NewRGBA(image.Rectangle{Max: size})
		noise := rand.New(rand.NewPCG(3, 4))
		want := 0.0
		for i := 0; i < len(m.Pix); i += 4 {
			v := byte(noise.IntN(256))
			m.Pix[i], m.Pix[i+1], m.Pix[i+2], m.Pix[i+3] = v, 255, 7, 255
			want += float64(v)
		}
		want /= float64(size.X * size.Y)
		p := &Picture{Kind: PNG, Width: size.X, Height: size.Y, image: m, ctx: t.Context()}
		smaller, err := p.Smaller()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range smaller {
			got, out := 0.0, s.image.(*image.NRGBA)
			for i := 0; i < len(out.Pix); i += 4 {
				got += float64(out.Pix[i])
				if out.Pix[i+1] != 255 || out.Pix[i+2] != 7 || out.Pix[i+3] != 255 {
					t.Fatalf("%v at %d wide: pixel %d is %v", size, s.Width, i/4, out.Pix[i:i+4])
				}
			}
			if got /= float64(s.Width * s.Height); got < want-1 || got > want+1 {
				t.Errorf("%v at %d wide: the mean is %.2f, not %.2f", size, s.Width, got, want)
			}
			if s.Height != max(1, (size.Y*s.Width+size.X/2)/size.X) {
				t.Errorf("%v at %d wide is %d high", size, s.Width, s.Height)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(asJPEG(f, photo(40, 30)))
	f.Add(withExif(asJPEG(f, photo(40, 30)), exif(binary.LittleEndian, 6)))
	f.Add(asPNG(f, photo(40, 30)))
	f.Add(withChunk(asPNG(f, photo(40, 30)), "eXIf", exif(binary.BigEndian, 5)))
	f.Add(asGIF(f, &gif.GIF{Image: []*image.Paletted{image.NewPaletted(image.Rect(3, 3, 9, 9), palette.WebSafe)}, Delay: []int{0}}))
	f.Add(webpFile)
	f.Add(scans(64, 64, 3))
	f.Add(cmyk(16, 16))
	m := New(Options{Memory: 64 << 20, Longest: time.Second})
	f.Fuzz(func(t *testing.T, file []byte) {
		out, err := m.made(t.Context(), file)
		var refused *problem.Error
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("%v: not the caller's to put right", err)
		}
		if err == nil {
			again, err := m.made(t.Context(), out.whole)
			if err != nil || again.width != out.width || again.height != out.height {
				t.Fatalf("the result can't be read: %v, %d × %d", err, again.width, again.height)
			}
		}
	})
}

// Memory is the heap that an upload needs beyond the heap before it, the largest of several
// samples.
func BenchmarkMake(b *testing.B) {
	for _, size := range []image.Point{{1600, 1200}, {4032, 3024}, {8160, 6120}} {
		file := asJPEG(b, photo(size.X, size.Y))
		b.Run(fmt.Sprintf("%.0fMP", float64(size.X*size.Y)/1e6), func(b *testing.B) {
			b.ReportAllocs()
			m := New(Options{})
			for b.Loop() {
				if _, err := m.made(b.Context(), file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package picture

import (
	"bytes"
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoa/problem"
)

// WebP files that another program wrote, of every kind: see testdata/README.md.
func TestWebPOfEachKindIsTakenInOrRefused(t *testing.T) {
	file := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("testdata", name+".webp"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	type seen struct {
		x, y, r, g, b, a, off int // off: the largest difference of a channel
	}
	cases := map[string]struct {
		reason        string
		width, height int
		kind          Kind
		seen          []seen
	}{
		"lossy":          {"as cameras and programs for pages write it", 24, 16, JPEG, []seen{{12, 8, 120, 120, 96, 255, 40}}},
		"lossless":       {"every pixel is unchanged, as one of few colours", 24, 16, PNG, []seen{{12, 8, 120, 120, 96, 255, 0}}},
		"lossy-alpha":    {"transparency stays", 24, 16, PNG, []seen{{4, 8, 40, 120, 128, 255, 40}, {20, 8, 0, 0, 0, 0, 0}}},
		"lossless-alpha": {"transparency stays", 24, 16, PNG, []seen{{4, 8, 40, 120, 128, 255, 0}, {20, 8, 0, 0, 0, 0, 0}}},
		"turned":         {"it is turned upright, and tells no place", 16, 24, PNG, []seen{{7, 12, 120, 120, 96, 255, 0}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := New(Options{}).made(t.Context(), file(name))
			if err != nil {
				t.Fatalf("%s: %v", c.reason, err)
			}
			if out.kind != c.kind || out.width != c.width || out.height != c.height {
				t.Errorf("%s: it becomes %v of %d × %d", c.reason, out.kind, out.width, out.height)
			}
			if bytes.Contains(out.whole, []byte("52.5163N")) {
				t.Error("the place of the photograph is in it")
			}
			m := read(t, out.whole)
			for _, s := range c.seen {
				got := color.NRGBAModel.Convert(m.At(s.x, s.y)).(color.NRGBA)
				if got.A == 0 && s.a == 0 {
					continue
				}
				for i, d := range []int{int(got.R) - s.r, int(got.G) - s.g, int(got.B) - s.b, int(got.A) - s.a} {
					if d > s.off || -d > s.off {
						t.Errorf("%s: at %d, %d is %v; channel %d is off by %d", c.reason, s.x, s.y, got, i, d)
					}
				}
			}
		})
	}
	refused := map[string]struct {
		reason string
		file   []byte
		says   string
	}{
		"Animated":  {"animations aren't accepted", file("animated"), "moves"},
		"CutLossy":  {"half a picture", file("lossy")[:90], "no whole WebP"},
		"CutAlpha":  {"half a picture", file("lossy-alpha")[:90], "no whole WebP"},
		"CutBefore": {"the transparency alone", file("lossy-alpha")[:58], "no whole WebP"},
	}
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			_, err := New(Options{}).made(t.Context(), c.file)
			var r *problem.Error
			if !errors.As(err, &r) || r.Code != problem.Invalid || !strings.Contains(r.Message, c.says) {
				t.Errorf("%s: %v, and it should say %q", c.reason, err, c.says)
			}
		})
	}
}

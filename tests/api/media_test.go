package api

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stoa/tests/stoatest"
)

// Pictures, through the same doors as their authors and readers: a form that curl, Node and
// Go send, and the addresses that come back.

// imageUpload is the mutation of all these tests.
const imageUpload = `mutation($input: ImageUploadInput!) { imageUpload(input: $input) { image { id url phone: url(width: 300) width height alt } userErrors { code path message } } }`

// secretPlace is in the picture's Exif.
const secretPlace = "52.5163N 13.3777E"

// press is a photograph of 1600 × 1000 pixels, as stored, that is to be turned by a quarter.
func press(t testing.TB) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 1600, 1000))
	for y := range 1000 {
		for x := range 1600 {
			m.SetRGBA(x, y, color.RGBA{byte(x / 7), byte(y / 4), byte(x * y >> 12), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	exif := "Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00" + secretPlace
	out := append([]byte("\xff\xd8\xff\xe1\x00"), byte(len(exif)+2))
	return append(append(out, exif...), b.Bytes()[2:]...)
}

// signedIn makes an administrator, with all rights of an author, and returns the token.
func signedIn(t *testing.T, s *stoatest.Stoa) string {
	t.Helper()
	const password = "a press of wood and iron"
	code, err := s.AccountService.MakeAdmin(t.Context(), "ada@example.org")
	if err != nil {
		t.Fatal(err)
	}
	s.Query(t, `mutation($in: PasswordResetInput!) { passwordReset(input: $in) { userErrors { message } } }`, map[string]any{"in": map[string]any{"token": code, "password": password}})
	a := s.Query(t, `mutation($in: SessionCreateInput!) { sessionCreate(input: $in) { token userErrors { message } } }`, map[string]any{"in": map[string]any{"email": "ada@example.org", "password": password}})
	var data struct{ SessionCreate struct{ Token string } }
	if err := json.Unmarshal(a.Data, &data); err != nil || data.SessionCreate.Token == "" {
		t.Fatalf("%s, %v", a.Raw, err)
	}
	return data.SessionCreate.Token
}

// uploaded is an answer to imageUpload.
type uploaded struct {
	Data struct {
		ImageUpload struct {
			Image *struct {
				ID, URL, Phone, Alt string
				Width, Height       int
			}
			UserErrors []struct {
				Code, Message string
				Path          []string
			}
		}
	}
	Errors []struct{ Message string }
}

// upload sends a file with variables as a form.
func upload(t *testing.T, s *stoatest.Stoa, token string, file []byte, input map[string]any) (u uploaded, status int) {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	input["file"] = nil
	operations, err := json.Marshal(map[string]any{"query": imageUpload, "variables": map[string]any{"input": input}})
	if err != nil {
		t.Fatal(err)
	}
	_ = w.WriteField("operations", string(operations))
	_ = w.WriteField("map", `{"f": ["variables.input.file"]}`)
	part, _ := w.CreateFormFile("f", "press.exe")
	_, _ = part.Write(file)
	_ = w.Close()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/graphql", &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {w.FormDataContentType()}, "Apollo-Require-Preflight": {"1"}}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(text, &u)
	}
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return u, response.StatusCode
}

func TestPicturesAreUploadedAndServed(t *testing.T) {
	data := t.TempDir()
	s := stoatest.Start(t, stoatest.Settings{"STOA_DATA": data})
	token := signedIn(t, s)
	file := press(t)
	var first uploaded
	for range 2 {
		u, status := upload(t, s, token, file, map[string]any{"alt": "A press"})
		i := u.Data.ImageUpload.Image
		if status != 200 || i == nil || i.Width != 1000 || i.Height != 1600 || i.Alt != "A press" || !strings.HasPrefix(i.ID, "img_") {
			t.Fatalf("%d %+v", status, u)
		}
		if first.Data.ImageUpload.Image != nil && (first.Data.ImageUpload.Image.URL != i.URL || first.Data.ImageUpload.Image.ID == i.ID) {
			t.Errorf("the same picture is at %s and %s", first.Data.ImageUpload.Image.URL, i.URL)
		}
		first = u
	}
	kept := 0
	_ = filepath.WalkDir(filepath.Join(data, "media"), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			kept++
		}
		return err
	})
	if kept != 4 { // 320, 640, 960 and 1000
		t.Errorf("%d files are kept", kept)
	}
	for url, width := range map[string]int{first.Data.ImageUpload.Image.Phone: 320, first.Data.ImageUpload.Image.URL: 1000} {
		response, err := http.Get(s.URL + url)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != 200 || response.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d %v, %v", url, response.StatusCode, response.Header, err)
		}
		if bytes.Contains(content, []byte(secretPlace)) || bytes.Contains(content, []byte("Exif")) || !bytes.Contains(file, []byte(secretPlace)) {
			t.Errorf("%s tells where it was taken", url)
		}
		if c, err := jpeg.DecodeConfig(bytes.NewReader(content)); err != nil || c.Width != width || c.Height != width*8/5 {
			t.Errorf("%s is %d × %d, %v", url, c.Width, c.Height, err)
		}
	}
	for name, c := range map[string]struct {
		token  string
		file   []byte
		alt    string
		status int
		code   string
		path   string
	}{
		"SVG":       {token, []byte("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"), "", 200, "INVALID", "file"},
		"Cut":       {token, file[:5000], "", 200, "INVALID", "file"},
		"Alt":       {token, file, strings.Repeat("a", 501), 200, "INVALID", "alt"},
		"TooLarge":  {token, make([]byte, 20<<20+1), "", 413, "", ""},
		"Anonymous": {"", file, "", 401, "", ""},
	} {
		u, status := upload(t, s, c.token, c.file, map[string]any{"alt": c.alt})
		errs := u.Data.ImageUpload.UserErrors
		if status != c.status || len(errs)+len(u.Errors) != 1 || len(errs) == 1 && (errs[0].Code != c.code || errs[0].Path[0] != c.path) {
			t.Errorf("%s: %d %+v", name, status, u)
		}
	}
	if n := s.Logged("a request failed"); n > 0 {
		t.Errorf("%d times what was sent was our fault", n)
	}
}

// The forms of other HTTP clients are accepted unchanged.
func TestPicturesAreUploadedByOtherClients(t *testing.T) {
	s := stoatest.Start(t, stoatest.Settings{"STOA_MEDIA": "file://" + filepath.Join(t.TempDir(), "elsewhere")})
	token := signedIn(t, s)
	file := filepath.Join(t.TempDir(), "press.jpg")
	if err := os.WriteFile(file, press(t), 0o600); err != nil {
		t.Fatal(err)
	}
	operations, err := json.Marshal(map[string]any{"query": imageUpload, "variables": map[string]any{"input": map[string]any{"file": nil, "alt": ""}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, arguments := range map[string][]string{
		"curl": {
			"-sS", s.URL + "/graphql", "-H", "Authorization: Bearer " + token, "-H", "Apollo-Require-Preflight: 1",
			"-F", "operations=" + string(operations), "-F", `map={"0": ["variables.input.file"]}`, "-F", "0=@" + file,
		},
		"node": {"../clients/upload.mjs", s.URL + "/graphql", token, file},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := exec.LookPath(name)
			if err != nil {
				t.Skip(err)
			}
			out, err := exec.CommandContext(t.Context(), program, arguments...).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte(`"width":1000`)) || !bytes.Contains(out, []byte(`-320.jpg`)) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

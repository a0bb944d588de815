package statuspage

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

// look is one look at a page, as browser.mjs takes it.
type look struct {
	URL    string `json:"url"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Scheme string `json:"scheme"`
	Check  bool   `json:"check"`
	Open   bool   `json:"open"`
	Shot   string `json:"shot"`
	Tall   int    `json:"tall"` // of the picture
	Print  bool   `json:"print"`
}

// seen is what it found.
type seen struct {
	URL        string   `json:"url"`
	Violations []string `json:"violations"`
	Incomplete []string `json:"incomplete"`
	Errors     []string `json:"errors"`
	Title      string   `json:"title"`
	Width      int      `json:"width"` // of the document
	Styled     string   `json:"styled"`
	Ran        int      `json:"ran"` // rules of axe that something passed
}

// browse looks at pages in Debian's Chromium. Without it a test is skipped, in CI it
// fails.
func browse(t *testing.T, looks []look) []seen {
	t.Helper()
	chromium, node := need(t, "chromium"), need(t, "node")
	modules := browserModules(t)
	profile, err := os.MkdirTemp("", "weir-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) })
	jobs, err := json.Marshal(looks)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, node, "testdata/browser.mjs", modules, chromium, profile, string(jobs))
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		t.Fatalf("browser.mjs: %v: %s", err, errs.String())
	}
	var found []seen
	if err := json.Unmarshal(out.Bytes(), &found); err != nil || len(found) != len(looks) {
		t.Fatalf("browser.mjs printed %q: %v", out.String(), err)
	}
	return found
}

func browserModules(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "weir", "browser-axe*", "node_modules"))
	if err != nil || len(found) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("no axe-core and playwright-core: deploy/setup/browser.sh fetches them")
		}
		t.Skip("no axe-core and playwright-core: deploy/setup/browser.sh fetches them")
	}
	return found[len(found)-1]
}

func serveFiles(t *testing.T, p *Page) string {
	t.Helper()
	files, err := p.Files(moment)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := WriteFolder(folder, files); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(server.Close)
	return server.URL
}

// TestBrowser looks at the page in a real browser, on a phone and on a desktop, light and
// dark: axe-core finds nothing, nothing is wider than the screen, nothing runs and nothing
// is asked of anybody else. WEIR_SCREENSHOTS names a folder that gets the pictures.
func TestBrowser(t *testing.T) {
	url := serveFiles(t, golden(t, Options{}))
	sizes := []look{{Width: 390, Height: 844, Tall: 1900}, {Width: 1280, Height: 900, Tall: 1340}}
	names := []string{"phone", "desktop"}
	shots := os.Getenv("WEIR_SCREENSHOTS")
	var looks []look
	for i, size := range sizes {
		for _, scheme := range []string{"light", "dark"} {
			l := size
			l.URL, l.Scheme, l.Check = url+"/", scheme, true
			if shots != "" {
				l.Shot = filepath.Join(shots, "statuspage-"+names[i]+"-"+scheme+".png")
			}
			looks = append(looks, l)
		}
	}
	looks = append(looks,
		look{URL: url + "/index.de.html", Width: 390, Height: 844, Scheme: "light", Check: true, Open: true},
		look{URL: url + "/", Width: 320, Height: 600, Scheme: "light"}, // WCAG 1.4.10, reflow
		look{URL: url + "/", Width: 800, Height: 1100, Scheme: "dark", Print: true},
		look{URL: serveFiles(t, newPage(t, Options{})) + "/", Width: 390, Height: 844, Scheme: "dark", Check: true},
		look{URL: serveFiles(t, hostile(t)) + "/", Width: 390, Height: 844, Scheme: "light"},
	)
	for i, s := range browse(t, looks) {
		l := looks[i]
		where := s.URL[len("http://127.0.0.1:"):] + " " + l.Scheme
		for _, v := range append(s.Violations, s.Errors...) {
			t.Errorf("%s, %d wide: %s", where, l.Width, v)
		}
		for _, v := range s.Incomplete {
			t.Errorf("%s, %d wide: axe cannot tell: %s", where, l.Width, v)
		}
		if l.Check && s.Ran < 15 {
			t.Errorf("%s: axe ran %d rules", where, s.Ran)
		}
		if s.Width > l.Width {
			t.Errorf("%s: %d wide on a screen of %d", where, s.Width, l.Width)
		}
		if s.Styled == "none" {
			t.Errorf("%s: the style was refused by the page's own policy", where)
		}
		if contains(s.Title, "owned") && !contains(s.Title, "<script>") {
			t.Errorf("%s: a script ran: the title is %q", where, s.Title)
		}
	}
	if shots != "" {
		for _, l := range looks[:4] {
			if l.Shot != "" {
				shrink(t, l.Shot)
			}
		}
	}
}

// TestBrowserSeesABadPage holds the check itself: a page with faults does not pass.
func TestBrowserSeesABadPage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<html><head><title>x</title></head><body><main style="max-width:10px"><p style="color:#ccc;background:#fff">pale</p><img src="x.png"></main><script>alert(1)</script></body></html>`))
	}))
	defer server.Close()
	s := browse(t, []look{{URL: server.URL, Width: 390, Height: 844, Scheme: "light", Check: true}})[0]
	all := strings.Join(append(s.Violations, s.Errors...), "\n")
	for _, rule := range []string{"color-contrast", "image-alt", "html-has-lang", "dialog: 1"} {
		if !contains(all, rule) {
			t.Errorf("%s was not found in:\n%s", rule, all)
		}
	}
}

// shrink writes a picture anew with a palette of its 256 most frequent colours.
func shrink(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[color.RGBA]int)
	b := picture.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			counts[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	all := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		all = append(all, c)
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if counts[a] != counts[b] {
			return counts[a] > counts[b]
		}
		return uint32(a.R)<<16|uint32(a.G)<<8|uint32(a.B) < uint32(b.R)<<16|uint32(b.G)<<8|uint32(b.B)
	})
	palette := color.Palette{}
	for _, c := range all[:min(len(all), 256)] {
		palette = append(palette, c)
	}
	paletted := image.NewPaletted(b, palette)
	draw.Draw(paletted, b, picture, b.Min, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, paletted); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 100_000 {
		t.Errorf("%s has %d bytes, at most 100000", path, out.Len())
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

package statuspage

import (
	"bytes"
	"encoding/xml"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// need finds a program: without it a test is skipped, in CI it fails.
func need(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no %s on this machine: deploy/setup/packages.sh installs it", names[0])
	}
	t.Skipf("no %s on this machine: deploy/setup/packages.sh installs it", names[0])
	return ""
}

func feeds(t testing.TB, p *Page) [][]byte {
	t.Helper()
	files, err := p.Files(moment)
	if err != nil {
		t.Fatal(err)
	}
	var found [][]byte
	for _, f := range files {
		if strings.HasSuffix(f.Name, ".atom") {
			found = append(found, f.Body)
		}
	}
	if len(found) == 0 {
		t.Fatal("no feed")
	}
	return found
}

// TestAtomSchema validates feeds against the grammar of RFC 4287, appendix B, and sees
// that the grammar refuses what is none.
func TestAtomSchema(t *testing.T) {
	xmllint := need(t, "xmllint")
	validate := func(feed []byte) error {
		path := filepath.Join(t.TempDir(), "feed.atom")
		if err := os.WriteFile(path, feed, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(xmllint, "--nonet", "--noout", "--relaxng", "testdata/atom.rng", path).CombinedOutput()
		if err != nil {
			t.Logf("%s", bytes.ReplaceAll(out, []byte(path), []byte("feed")))
		}
		return err
	}
	pages := map[string]*Page{"golden": golden(t, Options{}), "empty": newPage(t, Options{}), "hostile": hostile(t)}
	for name, p := range pages {
		for _, feed := range feeds(t, p) {
			if err := validate(feed); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	good := feeds(t, pages["golden"])[0]
	for _, c := range [][2]string{
		{"<updated>", "<updated>yesterday, "}, {"<id>", "<id/><id>"}, {"<author>", "<writer>"}, {`<link rel="self" type="application/atom+xml" href=`, `<link rel="self" title=`}, {"</feed>", "<p>x</p></feed>"},
	} {
		bad := bytes.Replace(good, []byte(c[0]), []byte(c[1]), 1)
		bad = bytes.ReplaceAll(bad, []byte("</author>"), []byte(map[bool]string{true: "</writer>", false: "</author>"}[c[0] == "<author>"]))
		if bytes.Equal(bad, good) || validate(bad) == nil {
			t.Errorf("with %s the feed is still valid", c[1])
		}
	}
}

// What the grammar leaves to prose (RFC 4287, section 4): ids that are IRIs and told
// apart, one alternate link, times in order.
func TestAtomProse(t *testing.T) {
	for _, body := range feeds(t, golden(t, Options{})) {
		var feed atomFeed
		if err := xml.Unmarshal(body, &feed); err != nil {
			t.Fatal(err)
		}
		if len(feed.Entries) != 3 {
			t.Errorf("%d entries, want 3", len(feed.Entries))
		}
		seen := map[string]bool{feed.ID: true}
		newest, err := time.Parse(time.RFC3339, feed.Updated)
		if err != nil {
			t.Error(err)
		}
		for _, e := range feed.Entries {
			if u, err := url.Parse(e.ID); err != nil || !u.IsAbs() || seen[e.ID] {
				t.Errorf("the id %q is no IRI, or another's", e.ID)
			}
			seen[e.ID] = true
			published, err1 := time.Parse(time.RFC3339, e.Published)
			updated, err2 := time.Parse(time.RFC3339, e.Updated)
			if err1 != nil || err2 != nil || updated.Before(published) || newest.Before(updated) {
				t.Errorf("published %s, updated %s, the feed %s", e.Published, e.Updated, feed.Updated)
			}
			if len(e.Links) != 1 || !strings.HasPrefix(e.Links[0].Href, "https://status.example.net/") {
				t.Errorf("links %+v", e.Links)
			}
		}
	}
}

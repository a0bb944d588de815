package statuspage

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// evil are texts that would do something if they were not text.
var evil = []string{
	`<script>document.title="owned"</script>`,
	`"><img src=x onerror=alert(1)>`,
	`'"--></style></script><svg onload=alert(1)>`,
	`javascript:alert(1)`,
	`]]><!ENTITY x SYSTEM "file:///etc/passwd">&x;`,
	`{{.Title}} ${7*7} {since} {affected}`,
	"\u202eevil\u0000\u0008\uffff\xff",
	`</title><base href="https://evil.example/">`,
	strings.Repeat("ä", 3000),
	`=cmd|'/c calc'!A1`,
}

// hostile is a page all of whose words are evil.
func hostile(t testing.TB) *Page {
	t.Helper()
	var components []Component
	for i, c := range estate {
		c.Name, c.Group, c.About = evil[i], evil[i+1], evil[i+2]
		components = append(components, c)
	}
	p := newPage(t, Options{Title: evil[0], Components: components, URL: "https://status.example.net/"})
	for i, text := range evil {
		text = strings.ToValidUTF8(text, "?")
		id := "p26112" + string(rune('0'+i%10)) + "-050900"
		if _, err := p.journal.add(Entry{Time: moment, By: "anna", Do: doPublish, Post: id, Impact: Minor, Title: Words{"": trim(text, MaxTitle)}, Text: Words{"": trim(text, MaxText)},
			Components: []string{"www.example.org", "git.example.org"}}); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// inert reports what of a page could do something: an element, an attribute or a link
// that the template does not have.
func inert(t testing.TB, body []byte) {
	t.Helper()
	elements := map[string]bool{}
	for _, name := range strings.Fields("html head meta title link style body svg circle path rect article h1 h2 h3 p span strong time ol li header main section ul details summary table thead tbody tr th td footer nav a") {
		elements[name] = true
	}
	for z := html.NewTokenizer(strings.NewReader(string(body))); ; {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				t.Error(z.Err())
			}
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			if !elements[token.Data] {
				t.Errorf("an element %s", token.Data)
			}
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "srcset" {
					t.Errorf("an attribute %s of %s", a.Key, token.Data)
				}
				local := a.Val == "api/v2/summary.json" || a.Val == "https://status.example.net/" || strings.HasPrefix(a.Val, "index.") || strings.HasPrefix(a.Val, "feed.")
				if a.Key == "href" && !local {
					t.Errorf("a link to %q", a.Val)
				}
			}
		}
	}
}

func checkFiles(t testing.TB, files []File) {
	t.Helper()
	for _, f := range files {
		switch {
		case strings.HasSuffix(f.Name, ".html"):
			inert(t, f.Body)
		case strings.HasSuffix(f.Name, ".atom"):
			var feed atomFeed
			if err := xml.Unmarshal(f.Body, &feed); err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
		case !json.Valid(f.Body):
			t.Errorf("%s is no JSON", f.Name)
		}
	}
}

func TestHostileTextsAreTexts(t *testing.T) {
	files, err := hostile(t).Files(moment)
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, files)
	page := string(files[len(files)-1].Body)
	if !strings.Contains(page, "&lt;script&gt;document.title=&#34;owned&#34;&lt;/script&gt;") {
		t.Error("the words are not on the page as they were written")
	}
}

// FuzzPage: whatever names, titles and words are, the page holds no element of theirs,
// the feed is XML and the JSON is JSON.
func FuzzPage(f *testing.F) {
	for i, text := range evil {
		f.Add(text, evil[(i+1)%len(evil)], evil[(i+2)%len(evil)])
	}
	f.Fuzz(func(t *testing.T, name, title, text string) {
		if name == "" {
			name = "-"
		}
		o := Options{Dir: "-", Folder: "/-", Title: name, Zone: moment.Location(), Texts: languages(t, "en"), URL: "https://status.example.net/",
			Components: []Component{{Site: "a.example.org", Name: name, Group: title, About: text}}}
		r, err := newRenderer(&o)
		if err != nil {
			t.Fatal(err)
		}
		p := &Page{o: o, ledger: newLedger(o.Components), journal: &journal{posts: *newPosts()}}
		e := Entry{Time: moment, By: name[:min(len(name), 100)], Do: doPublish, Post: "p261128-050900", Impact: Serious, Title: Words{"": title}, Text: Words{"": text}, Components: []string{"a.example.org"}}
		if p.journal.apply(e) != nil {
			return // out of bounds, and said so
		}
		files, err := r.files(p.view(moment))
		if err != nil {
			t.Fatal(err)
		}
		checkFiles(t, files)
	})
}

// FuzzJournal: a line of the journal may be anything and is refused or read.
func FuzzJournal(f *testing.F) {
	f.Add(`{"do":"publish","post":"p1","by":"a","title":{"":"t"},"text":{"":"x"}}`, `{"do":"resolve","post":"p1"}`)
	f.Add(`{"do":"draft","post":"p1","components":["a"]}`, `{"do":"mark","post":"p1","mark":"m"}`)
	f.Fuzz(func(t *testing.T, one, two string) {
		s := newPosts()
		for _, line := range []string{one, two} {
			var e Entry
			if json.Unmarshal([]byte(line), &e) == nil {
				_ = s.apply(e) // refused is fine
			}
		}
		for _, post := range s.all() {
			post.Stage(moment)
			post.Due()
			c := post.clone()
			c.over(moment)
		}
	})
}

func FuzzTelltale(f *testing.F) {
	for _, text := range []string{"192.0.2.7", "2001:db8::1", "at 05:08", "i261128-050812", `user_agent="x"`, "IP:203.0.113.7", "203.0.113.x", "ed:2001:db8::1:",
		"t13d1516h2_8daaf6152771_b186095e22b6", "AS64500", "/wp-login.php", "curl/8.1", "and/or 24/7", "https://status.example.org/p"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { Telltale(text) })
}

func TestTelltale(t *testing.T) {
	for text, want := range map[string]bool{
		"It comes from 192.0.2.7.": true, "from 192.0.2.0/24": true, "from 2001:db8::1 and more": true, "192.0.2.7:443 is": true,
		"[2001:db8::1]:443": true, "see i261128-050812-3": true, `user_agent="evil"`: true, "m261128-050812": true,
		"Since 05:08 UTC all is well.": false, "2026-11-28 05:08 UTC": false, "Version 1.2.3 is out": false, "p261128-050812": false,
		"Ratio 3:1, more at 10:15:30": false, "dead:beef": false, "": false,
		"Attacker IP:203.0.113.7 is blocked": true, "Adresse:203.0.113.7": true, "IP203.0.113.7": true, "203.0.113.x": true, "203.0.113.*": true,
		"203.0.x.x": true, "203.0.113.0/24": true, "https://203.0.113.7/": true, "999.203.0.113.7": true, "x_203.0.113.7_x": true,
		"Adresse:2001:db8::1": true, "blocked:2001:db8::1,": true, "2001:db8::1:": true, "2001:db8::/32 is blocked": true, "fe80::1%eth0": true,
		"::ffff:203.0.113.7": true, "2001:0db8:0:0:0:0:0:1.": true, "2001:DB8::": true,
		"t13d1516h2_8daaf6152771_b186095e22b6": true, "JA4:t13d1516h2_8daaf6152771_b186095e22b6": true, "ja3 e7d705a3286e19ea42f587b344ee6865": true,
		"AS64500": true, "from AS 64500": true, "as64500": true, "ASN 64500": true,
		"/wp-login.php": true, "Calls of /wp-login.php failed": true, "(/api/v1)": true, "path:/login": true, `"/login"`: true,
		"curl/8.1": true, "python-requests/2.31.0": true, "Mozilla/5.0 (X11)": true, "Go-http-client/1.1": true,
		"and/or": false, "24/7": false, "14:30": false, "https://status.example.org/p/1": false, "See https://status.example.org/p261128-050812.": false,
		"1/2 of all": false, "sign in / sign out": false, "as 3 of 4": false, "Images/Media": false, "28.11.2026 05:08": false, "22:14:10 to 22:15:00": false,
		"v1.2.3.4000": false, "Wartung: 10:00-12:00": false, "TCP/IP": false, "HTTP/1.1 works again": false, "Version 1.2.x": false, "AS 3320": true,
		"203[.]0[.]113[.]7": true, "203.x.x.x": true, "Chrome/120": true, "/v1/2/x": true, "/.env": true, "50%2001:db8::1": true,
		"::ffff:cb00:7107.": true, "2001:db8::1.Dead": true, "1:2:3:4:5:6:7:8:443": true, "5 km/h": false,
	} {
		if got := Telltale(text) != ""; got != want {
			t.Errorf("%q: %v, want %v (%q)", text, got, want, Telltale(text))
		}
	}
}

package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// Statuspage is what the public is told, and where.
type Statuspage struct {
	Folder         string        `yaml:"folder" doc:"Where the page is written for a web server; empty is no status page."`
	Title          string        `yaml:"title" doc:"What heads the page."`
	URL            string        `yaml:"url" doc:"Where the public reads it: 'https://status.example.org/'."`
	Components     []Component   `yaml:"components" doc:"The sites that are public, in the order of the page. What is not listed is not shown."`
	Languages      []string      `yaml:"languages" doc:"Language tags, the page's own first; 'en' and 'de' are there, others come from 'texts'."`
	Texts          string        `yaml:"texts" doc:"A folder of texts of your own: 'fr.yml' for a language, or to say things otherwise; see [the status page](statuspage.md)."`
	Zone           string        `yaml:"zone" doc:"The time zone in which moments are written, 'Europe/Berlin'."`
	State          string        `yaml:"state" doc:"What says how a component is: 'measured' (what visitors meet, or a post where that says something worse) or 'posts' alone."`
	AutomaticAfter time.Duration `yaml:"automatic_after" doc:"Publish a draft by itself where visitors are affected and nobody has for so long; 0 is never."`
	UpdateEvery    time.Duration `yaml:"update_every" doc:"Within which time a post promises the next update, unless it says otherwise."`
	PushEvery      time.Duration `yaml:"push_every" doc:"How often new figures are pushed to the places below; new words are at once."`
	S3             S3            `yaml:"s3" doc:"A bucket of an S3-compatible server that does not go down with the sites."`
	SFTP           SFTP          `yaml:"sftp" doc:"A folder on such a machine."`
	Git            Git           `yaml:"git" doc:"A branch of a repository that its host publishes."`
}

// Component is a site as the public knows it.
type Component struct {
	Site  string `yaml:"site" doc:"The site's name." default:"required"`
	Name  string `yaml:"name" doc:"What the public calls it." default:"required"`
	Group string `yaml:"group" doc:"Components of one group stand together."`
	About string `yaml:"about" doc:"One line below the name."`
}

// S3 is a bucket.
type S3 struct {
	Endpoint      string `yaml:"endpoint" doc:"'https://s3.example.net'."`
	Bucket        string `yaml:"bucket" doc:"Its name; empty is none."`
	Prefix        string `yaml:"prefix" doc:"A folder in the bucket."`
	Region        string `yaml:"region" doc:"The region, where the server has several."`
	AccessKey     string `yaml:"access_key" doc:"The key's id."`
	SecretKey     Secret `yaml:"secret_key" doc:"The secret key: '${NAME}' is an environment variable."`
	SecretKeyFile string `yaml:"secret_key_file" doc:"A file that holds it instead."`
}

// SFTP is a folder elsewhere.
type SFTP struct {
	Address      string `yaml:"address" doc:"host:port; empty is none."`
	User         string `yaml:"user" doc:"Who signs in."`
	Directory    string `yaml:"directory" doc:"The folder there; it is made where it is missing."`
	HostKey      string `yaml:"host_key" doc:"The server's public key, 'ssh-ed25519 AAAA...', as 'ssh-keyscan' prints it; another is refused." default:"required"`
	KeyFile      string `yaml:"key_file" doc:"An SSH private key without a passphrase."`
	Password     Secret `yaml:"password" doc:"A password instead: '${NAME}' is an environment variable."`
	PasswordFile string `yaml:"password_file" doc:"A file that holds it instead."`
}

// Git is a branch.
type Git struct {
	URL       string `yaml:"url" doc:"The repository: https, ssh or a path; empty is none."`
	Branch    string `yaml:"branch" doc:"A branch for the page alone; it is made where it is missing, and one that holds something else is refused."`
	KeyFile   string `yaml:"key_file" doc:"For ssh: a private key without a passphrase."`
	HostKey   string `yaml:"host_key" doc:"For ssh: the server's public key; another is refused." default:"what the machine's known_hosts say"`
	Token     Secret `yaml:"token" doc:"For https: a token that may push. '${NAME}' is an environment variable."`
	TokenFile string `yaml:"token_file" doc:"A file that holds it instead."`
}

func defaultStatuspage() Statuspage {
	return Statuspage{
		Title: "Status", Languages: []string{"en"}, Zone: "UTC", State: "measured",
		UpdateEvery: 30 * time.Minute, PushEvery: 5 * time.Minute, Git: Git{Branch: "weir-status"},
	}
}

// Location is the time zone of moments.
func (s *Statuspage) Location() (*time.Location, error) { return time.LoadLocation(s.Zone) }

// validateStatuspage looks at what needs no secret and no file: those are read when they
// are used.
func (c *Config) validateStatuspage(d *decoder) {
	s := &c.Statuspage
	const path = "statuspage"
	if s.Folder == "" {
		if len(s.Components) > 0 || s.S3.Bucket != "" || s.SFTP.Address != "" || s.Git.URL != "" {
			d.wrong(path+".folder", "want a folder to write the page into; places elsewhere get a copy of it")
		}
		return
	}
	if !filepath.IsAbs(s.Folder) {
		d.wrong(path+".folder", "%q is not absolute: a web server would look for it elsewhere", s.Folder)
	}
	if s.URL != "" && !webAddress(s.URL) {
		d.wrong(path+".url", "want https://status.example.org/, without a password")
	}
	checkLine(d, path+".title", s.Title, 100, true)
	if len(s.Components) == 0 {
		d.wrong(path+".components", "want at least one: {site: www.example.org, name: Website}; only what is listed is public")
	}
	if len(s.Components) > 200 {
		d.wrong(path+".components", "%d components, at most 200", len(s.Components))
	}
	seen := make(map[string]bool)
	for i, component := range s.Components {
		at := fmt.Sprintf("%s.components[%d]", path, i)
		if err := checkSite(component.Site); err != nil {
			d.wrong(at+".site", "%v", err)
		}
		if seen[component.Site] {
			d.wrong(at+".site", "%s stands twice", component.Site)
		}
		seen[component.Site] = true
		checkLine(d, at+".name", component.Name, 60, true)
		checkLine(d, at+".group", component.Group, 60, false)
		checkLine(d, at+".about", component.About, 200, false)
	}
	if len(s.Languages) == 0 || len(s.Languages) > 20 {
		d.wrong(path+".languages", "want 1 to 20 language tags: [en, de]")
	}
	if _, err := s.Location(); err != nil || s.Zone == "" || s.Zone == "Local" {
		d.wrong(path+".zone", "there is no time zone %q; want such as UTC or Europe/Berlin", s.Zone)
	}
	oneOf(d, path+".state", s.State, "measured", "posts")
	between(d, path+".automatic_after", s.AutomaticAfter, 0, 7*day)
	between(d, path+".update_every", s.UpdateEvery, time.Minute, 30*day)
	between(d, path+".push_every", s.PushEvery, 10*time.Second, day)
	s.validatePlaces(d)
}

func (s *Statuspage) validatePlaces(d *decoder) {
	const path = "statuspage"
	if b := s.S3; b.Bucket != "" {
		u, err := url.Parse(b.Endpoint)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.Scheme != "https" && u.Scheme != "http":
			d.wrong(path+".s3.endpoint", "want https://host, without a path")
		case u.Scheme == "http" && !loopback(u.Hostname()):
			d.wrong(path+".s3.endpoint", "want https: other than on loopback http would show the page's key to the network")
		}
		if b.AccessKey == "" {
			d.wrong(path+".s3.access_key", "want the key's id")
		}
		oneSecret(d, path+".s3", "secret_key", b.SecretKey, b.SecretKeyFile)
	}
	if f := s.SFTP; f.Address != "" {
		if _, port, err := net.SplitHostPort(f.Address); err != nil || port == "" {
			d.wrong(path+".sftp.address", "%q: want host:port, such as status.example.net:22", f.Address)
		}
		if f.User == "" {
			d.wrong(path+".sftp.user", "want who signs in")
		}
		if !publicKey(f.HostKey) {
			d.wrong(path+".sftp.host_key", "want the server's public key, ssh-ed25519 AAAA...: ssh-keyscan prints it behind the host's name")
		}
		if f.KeyFile == "" {
			oneSecret(d, path+".sftp", "password", f.Password, f.PasswordFile)
		}
	}
	if g := s.Git; g.URL != "" {
		if u, err := url.Parse(g.URL); err == nil && u.User != nil {
			if _, has := u.User.Password(); has {
				d.wrong(path+".git.url", "holds a password: put it into git.token_file")
			}
		}
		if strings.HasPrefix(g.URL, "-") || strings.HasPrefix(g.URL, "ext::") || strings.HasPrefix(g.URL, "http://") {
			d.wrong(path+".git.url", "want https://, ssh://, user@host:path or a path")
		}
		if err := checkName(strings.ReplaceAll(g.Branch, "/", "-")); err != nil {
			d.wrong(path+".git.branch", "%v", err)
		}
		if g.HostKey != "" && !publicKey(g.HostKey) {
			d.wrong(path+".git.host_key", "want the server's public key, ssh-ed25519 AAAA...")
		}
		if g.Token != "" && g.TokenFile != "" {
			d.wrong(path+".git.token", "is given twice, with token_file: leave out one of them")
		}
	}
}

func oneSecret(d *decoder, path, key string, secret Secret, file string) {
	if (secret == "") == (file == "") {
		d.wrong(path+"."+key, "want %s, as ${NAME} from the environment, or %s_file", key, key)
	}
}

func webAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// publicKey reports whether a text has the form of an SSH public key.
func publicKey(text string) bool {
	fields := strings.Fields(text)
	return len(fields) >= 2 && (strings.HasPrefix(fields[0], "ssh-") || strings.HasPrefix(fields[0], "ecdsa-")) && strings.HasPrefix(fields[1], "AAAA")
}

// checkLine wants a printable line of at most so many bytes.
func checkLine(d *decoder, path, text string, most int, required bool) {
	switch {
	case text == "" && required:
		d.wrong(path, "want a text")
	case len(text) > most:
		d.wrong(path, "has %d bytes, at most %d", len(text), most)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		d.wrong(path, "want one line of text")
	}
}

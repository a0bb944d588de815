package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected messages anew")

var byPrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestGood(t *testing.T) {
	defaults := Default()
	full := Default()
	full.Data = "/srv/weir"
	full.Mode = Propose
	full.Sites = map[string]Site{"www.example.org": {Mode: Enforce, Profile: "wordpress"}, "shop.example.org": {}}
	full.Sources = []Source{
		{File: "/var/log/nginx/*access.log", Format: "auto", Spool: 1 << 30, Rate: 200_000},
		{File: "/var/log/forum.log", Format: "combined", Site: "forum.example.org", Spool: 1 << 30, Rate: 200_000},
	}
	full.Edge = Edge{Name: "edge-1", TrustedProxies: []string{"cloudflare", "10.0.0.0/8", "2001:db8::1"}, ProxyHeader: "forwarded", SampleAfter: 30 * time.Second}
	full.Allow = []netip.Prefix{
		netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32"),
	}
	full.Processor = Processor{Lateness: 3500 * time.Millisecond, MaxSites: 20, MaxClients: 50_000, FalseIncidents: 4, MinBaseline: time.Hour}
	full.Decisions = Decisions{TTL: 15 * time.Minute, Collateral: 0.001, Propagation: 0, Max: 1000, ArmedFor: 30 * day, Probation: 20 * time.Minute, Longest: 2 * day}
	full.Nginx = Nginx{Directory: "/etc/nginx/weir", Test: []string{"nginx", "-t", "-q"}, Reload: []string{"systemctl", "reload", "nginx"},
		Lease: 10 * time.Minute, MinReloadInterval: 5 * time.Second, Block: "silence", Challenge: "@anubis", UnknownRate: 30}
	full.Nftables = Nftables{Ports: []int{}, Lease: 20 * time.Minute, Sample: 32}
	full.HAProxy = HAProxy{Socket: "/run/haproxy/admin.sock", Map: "/etc/haproxy/maps/weir.map", Lease: time.Minute}
	full.HTTP.Listen = "[::1]:8480"
	full.NATS = NATS{URL: "tls://a:4222,tls://b:4222", Credentials: "/etc/weir/edge.creds", Disk: 1 << 30,
		TLS: TLS{CA: "/etc/weir/ca.pem", Cert: "/etc/weir/cert.pem", Key: "/etc/weir/key.pem"}}
	full.Privacy = Privacy{Addresses: "hashed", QueryValues: "keep", QueryKeys: []string{"page"}}
	full.ClickHouse = ClickHouse{DSN: "clickhouse://weir:secret@db:9000/weir", Memory: 2 << 30, Retention: 7*day + 12*time.Hour,
		Rollups: Rollups{Tens: 30 * day, Minutes: 100 * day, Hours: 1000 * day}}
	full.Notify = Notify{
		Name: "weir of example.org", Grafana: "https://grafana.example.org/d/weir",
		Channels: map[string]Channel{
			"oncall": {Type: "pagerduty", TokenFile: "/etc/weir/pagerduty.key", Limit: 5, Quiet: "ignore"},
			"team": {Type: "email", URL: "smtp://mail.example.org:587", User: "weir", Password: "${SMTP_PASSWORD}", From: "weir@example.org",
				To: []string{"team@example.org", "boss@example.org"}, Limit: 3, Quiet: "keep"},
			"public": {Type: "mastodon", URL: "https://mastodon.example.org", Token: "${MASTODON}", Limit: 5, Quiet: "keep"},
		},
		Routes: []Route{
			{Channels: []string{"oncall"}, Severity: "critical", Kinds: []string{"opened", "worsened", "closed"}},
			{Channels: []string{"team"}, Severity: "info", Sites: []string{"www.example.org", "*.shop.example.org"}},
		},
		Quiet:     Quiet{From: "22:00", To: "07:00", Zone: "Europe/Berlin", Hold: "info"},
		Heartbeat: Heartbeat{URL: "https://hc.example.org/ping/x", Every: 30 * time.Second},
		Gather:    10 * time.Second, Every: 5 * time.Minute,
	}
	full.Statuspage = Statuspage{
		Folder: "/var/www/status", Title: "Example status", URL: "https://status.example.net/",
		Components: []Component{{"www.example.org", "Website", "For everybody", "News"}, {Site: "shop.example.org", Name: "Shop"}},
		Languages:  []string{"de", "en"}, Texts: "/etc/weir/texts", Zone: "Europe/Berlin", State: "posts",
		AutomaticAfter: 10 * time.Minute, UpdateEvery: time.Hour, PushEvery: time.Minute,
		S3:   S3{Endpoint: "https://s3.example.net", Bucket: "status", Prefix: "page", Region: "eu", AccessKey: "id", SecretKey: "${S3_KEY}"},
		SFTP: SFTP{Address: "status.example.net:22", User: "weir", Directory: "www", HostKey: "ssh-ed25519 AAAAC3Nz", KeyFile: "/etc/weir/sftp.key"},
		Git:  Git{URL: "git@git.example.net:weir/status.git", Branch: "pages", KeyFile: "/etc/weir/git.key", HostKey: "ssh-ed25519 AAAAC3Nz"},
	}
	full.Log = Log{Level: "debug", Format: "json"}

	pushed := Default()
	pushed.Nftables.Ports = []int{80, 443, 8443}
	pushed.Vitals = Vitals{Every: 2 * time.Second, NginxStatus: "http://unix:/run/nginx/status.sock:/nginx_status"}
	for _, change := range []func(*Source){
		func(s *Source) {
			s.Syslog, s.Format, s.Site, s.Rate = "udp://127.0.0.1:5514", "combined", "www.example.org", 1000
		},
		func(s *Source) { s.Syslog, s.Group, s.Spool = "unixgram:///run/weir/syslog.sock", "www-data", 64<<20 },
		func(s *Source) { s.Syslog, s.TLS = "tls://0.0.0.0:6514", full.NATS.TLS },
		func(s *Source) { s.Lines, s.Format = "tcp://[::1]:5515", "caddy" },
		func(s *Source) { s.HTTP, s.TokenFile = "0.0.0.0:8481", "/etc/weir/token" },
		func(s *Source) { s.HTTP = "localhost:8482" },
		func(s *Source) { s.NATS = "weir.ingest.combined" },
		func(s *Source) { s.Journal, s.Directory = "nginx.service, caddy.service", "/var/log/journal/remote" },
		func(s *Source) { s.Pipe, s.Group = "/run/weir/access.pipe", "adm" },
		func(s *Source) { s.Pipe = "-" },
	} {
		one := defaultSource()
		change(&one)
		pushed.Sources = append(pushed.Sources, one)
	}

	tests := map[string]Config{"empty": defaults, "comments": defaults, "bom": defaults, "nothing-set": defaults, "full": full, "sources": pushed}
	files, err := filepath.Glob("testdata/*.good.yml")
	if err != nil || len(files) != len(tests) {
		t.Fatalf("files %v, %v; want one for each of %d tests", files, err, len(tests))
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Load(filepath.Join("testdata", name+".good.yml"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, byPrefix); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for site, want := range map[string]Mode{"www.example.org": Enforce, "shop.example.org": Propose, "else.example.org": Propose} {
		if got := full.ModeOf(site); got != want {
			t.Errorf("%s is in mode %s, want %s", site, got, want)
		}
	}
}

// Beside each bad file lies the exact message that a person gets.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil || len(files) < 20 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse("weir.yml", data)
			if err == nil {
				t.Fatal("it was taken")
			}
			golden := strings.TrimSuffix(file, ".yml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, readErr := os.ReadFile(golden)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for line := range strings.Lines(err.Error()) {
				if !regexp.MustCompile(`^weir\.yml:[0-9]+:[0-9]+: `).MatchString(line) {
					t.Errorf("no place in %q", line)
				}
			}
		})
	}
}

func TestLoad(t *testing.T) {
	got, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got, byPrefix); diff != "" {
		t.Errorf("no file (-want +got):\n%s", diff)
	}
	large := filepath.Join(t.TempDir(), "large.yml")
	if err := os.WriteFile(large, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"testdata/none.yml": "configuration: open testdata/none.yml: no such file or directory",
		"testdata":          "configuration: read testdata: is a directory",
		large:               "configuration: " + large + " is over 1048576 bytes: is it the right file?",
	} {
		if _, err := Load(path); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", path, err, want)
		}
	}
}

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	d := decoder{name: "default"}
	c.validate(&d)
	if err := d.err(); err != nil {
		t.Error(err)
	}
}

// The file in the reference is what holds without a file, and every key of it
// is read.
func TestReference(t *testing.T) {
	reference := string(Reference())
	_, file, ok := strings.Cut(reference, "```yaml\n")
	file, _, ok2 := strings.Cut(file, "```\n")
	if !ok || !ok2 {
		t.Fatal("no example")
	}
	got, err := Parse("example", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Sites, want.Sources, want.Allow = map[string]Site{}, []Source{}, []netip.Prefix{}
	want.Edge.TrustedProxies = []string{}
	want.Notify.Channels, want.Notify.Routes = map[string]Channel{}, []Route{}
	want.Statuspage.Components = []Component{}
	if diff := cmp.Diff(want, got, byPrefix); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	committed, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != reference {
		t.Error("docs/configuration.md is out of date: run make generate")
	}
	for line := range strings.Lines(reference) {
		if strings.HasSuffix(line, "|  |\n") || strings.HasSuffix(line, "| |\n") && !strings.HasPrefix(line, "| key") {
			t.Errorf("a key without its doc: %s", line)
		}
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "250ms": 250 * time.Millisecond, "1h30m": 90 * time.Minute, "30d": 30 * day, "1d12h": 36 * time.Hour, "1.5s": 1500 * time.Millisecond,
	} {
		got, err := parseDuration(text)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if again, err := parseDuration(formatDuration(got)); err != nil || again != got {
			t.Errorf("%s is shown as %s, which is read as %v, %v", text, formatDuration(got), again, err)
		}
	}
	for text, want := range map[string]Size{"0B": 0, "512MiB": 512 << 20, "1.5GiB": 3 << 29, "10 kB": 10_000, "1B": 1} {
		got, err := parseSize(text)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if again, err := parseSize(got.String()); err != nil || again != got {
			t.Errorf("%s is shown as %s, which is read as %v, %v", text, got, again, err)
		}
	}
	for text, want := range map[string]Share{"0%": 0, "0.5%": 0.005, "100 %": 1} {
		if got, err := parseShare(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "1x", "-1s", "d", "-1d", "1d1d", "s", "NaNs", "9999999999999d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("duration %q: %v", text, got)
		}
	}
	for _, text := range []string{"", "1", "1M", "-1B", "NaNMiB", "InfMiB", "99999999TiB", "MiB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("size %q: %v", text, got)
		}
	}
	for _, text := range []string{"", "1", "0.5", "-1%", "101%", "NaN%", "%"} {
		if got, err := parseShare(text); err == nil {
			t.Errorf("share %q: %v", text, got)
		}
	}
}

func TestSuggestion(t *testing.T) {
	known := []string{"lateness", "max_sites", "dsn", "url"}
	for word, want := range map[string]string{
		"latness": "lateness", "maxsites": "max_sites", "max_sties": "max_sites", "ulr": "url", "Dsn": "dsn",
	} {
		if got := suggestion(word, known); got != `did you mean "`+want+`"?` {
			t.Errorf("%s: %s", word, got)
		}
	}
	for _, word := range []string{"x", "frequency", ""} {
		if got := suggestion(word, known); got != "want one of lateness, max_sites, dsn, url" {
			t.Errorf("%s: %s", word, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("weir.yml", data)
		if err == nil && (c.Data == "" || c.Mode == "" || slices.Contains(c.Nginx.Test, "\x00")) {
			t.Errorf("taken: %+v", c)
		}
	})
}

// What is secret shows in no form.
func TestSecretsAreHidden(t *testing.T) {
	c, err := Parse("weir.yml", []byte("notify: {channels: {a: {type: webhook, url: https://h.example/hunter2, token: hunter2, password: hunter2}}, heartbeat: {url: https://h.example/hunter2}}"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Notify.Channels["a"].Token != "hunter2" {
		t.Fatal("the secret is not read")
	}
	text, err := json.Marshal(c.Notify)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), fmt.Sprint(c), fmt.Sprintf("%+v %#v", c, c)} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("shown: %s", shown)
		}
	}
}

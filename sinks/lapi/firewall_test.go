package lapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/netns"
	"github.com/weir-project/weir/schemas"
)

// command is where a program of the machine's is; without it the test is skipped, and
// fails in CI.
func command(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed: make setup", name)
	}
	t.Skipf("%s is not installed: make setup", name)
	return ""
}

// The firewall bouncer of Debian, with its nftables, in a network of its own: it enforces
// what weir decides, for as long as weir says, and lets go when weir does.
func TestFirewallBouncerEnforces(t *testing.T) {
	program := command(t, "crowdsec-firewall-bouncer")
	command(t, "nft")
	n := netns.New(t)
	d := newDesk(t, Options{})
	key := d.key("firewall")

	l := n.Listen(t, "127.0.0.1:0")
	api := &http.Server{Handler: d.mux}
	go func() { _ = api.Serve(l) }() // until the test closes it
	t.Cleanup(func() { api.Close() })

	dir := t.TempDir()
	file := filepath.Join(dir, "bouncer.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
mode: nftables
pid_dir: %[1]s
update_frequency: 200ms
log_mode: file
log_dir: %[1]s
log_level: info
api_url: http://%[2]s/
api_key: %[3]s
deny_action: DROP
supported_decisions_types: [ban]
nftables:
  ipv4: {enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}
  ipv6: {enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain}
prometheus: {enabled: false}
`, dir, l.Addr(), key), 0o600); err != nil {
		t.Fatal(err)
	}
	site := n.Listen(t, "0.0.0.0:0")
	go func() {
		for {
			c, err := site.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(site.Addr().String())
	reaches := func(from string) bool {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		c, err := n.Dial(ctx, from, "192.0.2.100:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); {
			if time.Now().After(end) {
				log, err := os.ReadFile(filepath.Join(dir, "crowdsec-firewall-bouncer.log"))
				t.Fatalf("not so within a minute: %s\n%s%v\n%s", what, log, err, n.Run(t, "nft", "list", "ruleset"))
			}
		}
	}
	n.Run(t, "ip", "addr", "add", "192.0.2.100/24", "dev", "lo")
	for _, host := range []string{"7", "8", "9"} {
		n.Run(t, "ip", "addr", "add", "192.0.2."+host+"/24", "dev", "lo")
	}
	if !reaches("192.0.2.7") {
		t.Fatal("the site is not reached before anything is decided")
	}

	d.Apply(added("a", "192.0.2.7"), added("b", "192.0.2.8/31"))
	bouncer := exec.Command(program, "-c", file)
	bouncer.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	n.Start(t, bouncer)
	eventually("the client is blocked", func() bool { return !reaches("192.0.2.7") })
	eventually("both addresses of the network are", func() bool { return !reaches("192.0.2.8") && !reaches("192.0.2.9") })
	if !reaches("192.0.2.100") {
		t.Error("somebody else is blocked too")
	}

	// A renewal moves the kernel's end; without it the element would keep its old one.
	short := decision(schemas.DecisionRenewed, "a", schemas.Block, "192.0.2.7", 24*time.Hour)
	d.Apply(short)
	eventually("the kernel's timeout is the new one", func() bool {
		var out []byte
		n.Do(func() { out, _ = exec.Command("nft", "list", "table", "ip", "crowdsec").Output() })
		return kernelTimeout.Match(out)
	})

	d.Apply(decision(schemas.DecisionRemoved, "a", schemas.Block, "192.0.2.7", time.Hour))
	eventually("the client is let in again", func() bool { return reaches("192.0.2.7") })
	d.Replace()
	eventually("the network is", func() bool { return reaches("192.0.2.8") && reaches("192.0.2.9") })
	if list, err := d.Bouncers(); err != nil || list[0].LastPull.IsZero() || list[0].Agent == "" {
		t.Errorf("bouncers %+v, %v", list, errors.Join(err))
	}
}

// A timeout of a day, as nft writes it, on the client's element.
var kernelTimeout = regexp.MustCompile(`192\.0\.2\.7 timeout (23h59m|1d)`)

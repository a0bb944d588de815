package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatNginxRefusesIsToldOf: a decision that nginx does not load, as nginx -t refuses the configuration, is said to
// be in force nowhere by whoever lists decisions or asks why; and no more once nginx takes it.
func TestWhatNginxRefusesIsToldOf(t *testing.T) {
	needClickHouse(t)
	n := startEdge(t)
	data := filepath.Join(t.TempDir(), "data")
	config := n.config(t, data, "")
	startWith(t, config)
	until(t, "weir takes decisions", func() bool {
		_, err := weir(t, "decisions", "list", "--data", data)
		return err == nil
	})
	good, err := os.ReadFile(n.conf)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(n.conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	says := func(args ...string) string {
		out, err := exec.Command(program, append([]string{"--config", config}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("weir %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	t.Cleanup(func() { write(string(good)) }) // an nginx with another stops for nobody
	write(string(good) + "nonsense;\n")
	mustWeir(t, "--config", config, "decisions", "add", "--own", "client", "192.0.2.7")
	const lacks = "holds 0 of 1 decisions: "
	until(t, "the list says that nginx does not hold it", func() bool {
		out := says("decisions", "list")
		return strings.Contains(out, lacks) && strings.Contains(out, "nginx refuses its configuration")
	})
	if n.status("192.0.2.7") != http.StatusOK {
		t.Error("nginx holds it all the same")
	}
	if out := says("why", "192.0.2.7"); !strings.Contains(out, lacks) {
		t.Errorf("weir why: %s", out)
	}
	if out := says("decisions", "list", "--output", "json"); !strings.Contains(out, `"part":"nginx","reason":"`) || !strings.Contains(out, `"held_nowhere":true`) {
		t.Errorf("decisions list as JSON: %s", out)
	}
	if out := says("why", "--output", "json", "192.0.2.7"); !strings.Contains(out, `"held_nowhere":true`) {
		t.Errorf("weir why as JSON: %s", out)
	}
	write(string(good))
	until(t, "nginx refuses the client", func() bool { return n.answers("192.0.2.7", http.StatusForbidden) })
	until(t, "the list says no more that nginx does not hold it", func() bool { return !strings.Contains(says("decisions", "list"), " holds ") })
}

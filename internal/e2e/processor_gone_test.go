package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestProcessorGone has an attack begin while the only processor is dead, beside a real nginx:
// the site is answered; the processor that comes decides, and nginx stops the attack; and when that is
// killed as well, the attack stays stopped. A visitor is answered all the time.
func TestProcessorGone(t *testing.T) {
	f, e := startFleet(t, 1), startEdge(t)
	metrics := freeAddress(t)
	config := writeTo(t, filepath.Join(t.TempDir(), "weir.yml"), fmt.Sprintf(`data: %s
mode: enforce
edge: {name: edge1}
nats: {url: %q}
http: {listen: %q}
nginx:
  directory: %s
  test: ["%s"]
  reload: ["%s"]
`, t.TempDir(), f.url, metrics, e.weirDir, strings.Join(e.test, `", "`), strings.Join(e.reload, `", "`)))
	enforce := startCommand(t, "--config", config, "enforce")
	t.Cleanup(func() {
		if t.Failed() {
			enforce.kill()
			t.Logf("weir enforce:\n%s", enforce.log)
		}
	})
	v := e.visit(t)
	g := f.traffic()
	for at := time.Now().Add(-15 * time.Minute); time.Until(at) < 0; at = at.Add(250 * time.Millisecond) {
		g.send(at) // what is normal
	}
	until(t, "the past is counted", func() bool { return f.requests() >= 0.95*float64(g.sent) })

	stopped := func() bool { return e.attacked() != http.StatusOK }
	f.members[0].kill()
	g.attack = 200
	g.play(t.Context(), 5*time.Second)
	if stopped() {
		t.Error("the attack is stopped, and there is nobody who could have decided that")
	}
	v.answersAll(t, "the processor gone")

	f.members = []*running{startCommand(t, "--config", f.config, "process")}
	until(t, "the attack is stopped at nginx", func() bool { g.play(t.Context(), 500*time.Millisecond); return stopped() })
	f.members[0].kill()
	g.play(t.Context(), 5*time.Second)
	if !stopped() {
		t.Error("the processor gone again: the attack reaches the site")
	}
	v.answersAll(t, "the processor gone again")
	t.Logf("a visitor asked %d times", v.asked.Load())
}

// attacked is nginx's answer to a request of traffic's attack.
func (e *edge) attacked() int {
	q, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/%x", e.address, time.Now().UnixNano()), nil)
	if err != nil {
		return 0
	}
	q.Host = "site0.example"
	q.Header.Set("X-Forwarded-For", fmt.Sprintf("11.7.%d.%d", time.Now().UnixNano()>>8&0xff, time.Now().UnixNano()>>16&0xff))
	q.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) attack")
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

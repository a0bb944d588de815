package crawler

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestADeadResolver: who asks waits for nobody, each look-up ends after five seconds, and that nobody
// answered says nothing of a client: it is neither spared nor taken for a liar, and asked of again ten minutes later.
func TestADeadResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		silent := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			asked++
			here, there := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, there) }()
			return here, nil
		}}
		v := New(Options{Resolver: silent, Verified: func(_ context.Context, client netip.Addr, name string) error {
			t.Errorf("%s is verified as %q by nobody", client, name)
			return nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = v.Run(ctx) }()
		client, began := netip.MustParseAddr("198.51.100.7"), time.Now()
		v.Claim(client, 0, time.Now())
		if waited := time.Since(began); waited > 0 {
			t.Errorf("a claim waited for %s", waited)
		}
		time.Sleep(lookupTime + 2*time.Second)
		synctest.Wait()
		v.mu.Lock()
		a := v.known[client]
		v.mu.Unlock()
		if a.waiting || a.verified || a.until.Sub(began) > failedFor+lookupTime+time.Second || asked == 0 {
			t.Errorf("after %s: %+v, asked %d times", time.Since(began), a, asked)
		}
		before := asked
		v.Claim(client, 0, time.Now())
		time.Sleep(time.Minute)
		synctest.Wait()
		if asked != before {
			t.Error("it is asked of again at once")
		}
		time.Sleep(failedFor)
		v.Claim(client, 0, time.Now())
		time.Sleep(lookupTime + 2*time.Second)
		synctest.Wait()
		if asked == before {
			t.Error("it is not asked of again")
		}
		cancel()
		<-done
	})
}

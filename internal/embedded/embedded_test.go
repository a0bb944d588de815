package embedded

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"net"
)

func TestMain(m *testing.M) {
	ChildMain()
	os.Exit(m.Run())
}

// needLibrary skips a test that needs the engine; in CI it must be there.
func needLibrary(t testing.TB) {
	t.Helper()
	if _, err := FindLibrary(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// run runs a store until the test ends.
func run(t testing.TB, options Options) *Store {
	t.Helper()
	needLibrary(t)
	s := New(options)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// open is a client of a home by a protocol.
func open(t testing.TB, home Home, protocol Protocol) driver.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	access, err := home.Access(ctx)
	if err != nil {
		t.Fatal(err)
	}
	o := &clickhouse.Options{Addr: []string{"store"}, HttpHeaders: access.Headers(),
		DialContext: func(ctx context.Context, _ string) (net.Conn, error) { return home.Dial(ctx, protocol) }}
	if protocol == HTTP {
		o.Protocol = clickhouse.HTTP
	}
	c, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func count(t testing.TB, c driver.Conn, query string) (n uint64) {
	t.Helper()
	if err := c.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestStoreServesBothProtocols(t *testing.T) {
	for _, isolation := range []string{isolateNamespace, isolateLoopback} {
		t.Run(isolation, func(t *testing.T) {
			s := run(t, Options{Dir: t.TempDir(), isolation: isolation})
			for _, protocol := range []Protocol{Native, HTTP} {
				if protocol == Native && isolation == isolateLoopback {
					continue
				}
				if n := count(t, open(t, s, protocol), "SELECT sum(number) FROM numbers(10)"); n != 45 {
					t.Errorf("%s: sum is %d, want 45", protocol, n)
				}
			}
		})
	}
}

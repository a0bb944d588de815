package clickhouse

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/embedded"
)

func TestMain(m *testing.M) {
	embedded.ChildMain()
	if dir := os.Getenv(writerEnv); dir != "" {
		if err := writingProcess(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// home starts a store in dir that lives as long as the test.
func home(t testing.TB, dir string) *embedded.Store {
	t.Helper()
	return homeOf(t, embedded.Options{Dir: dir, Logger: logger(t)})
}

func homeOf(t testing.TB, o embedded.Options) *embedded.Store {
	t.Helper()
	if _, err := embedded.FindLibrary(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s := embedded.New(o)
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

func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// dialTo dials a store.
func dialTo(s embedded.Home) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, protocol string) (net.Conn, error) {
		return s.Dial(ctx, embedded.Protocol(protocol))
	}
}

// client is a migrated DB of a store.
func client(t testing.TB, s *embedded.Store) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := Open(ctx, Options{Logger: logger(t), Dial: dialTo(s), Reader: embedded.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	return db
}

// ask is a query's answer as TSV, without the last newline.
func ask(t testing.TB, db *DB, sql string) string {
	t.Helper()
	var b bytes.Buffer
	if err := db.Query(context.Background(), sql, QueryOptions{}, &b); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

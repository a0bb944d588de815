package embedded

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTornDefinitionIsRemoved starts a store in which the definition of a table is
// empty, as a full disk leaves it: it starts all the same, and what is whole is there.
func TestTornDefinitionIsRemoved(t *testing.T) {
	needLibrary(t)
	dir := t.TempDir()
	first := New(Options{Dir: dir})
	stop := background(t, first)
	c := open(t, first, Native)
	for _, statement := range []string{
		"CREATE TABLE whole (n UInt8) ENGINE = MergeTree ORDER BY n", "INSERT INTO whole VALUES (1), (2)",
		"CREATE TABLE torn (n UInt8) ENGINE = MergeTree ORDER BY n",
	} {
		if err := c.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
	paths, err := filepath.Glob(filepath.Join(dir, "clickhouse", "data", "store", "*", "*", "torn.sql"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("the definition is at %v (%v)", paths, err)
	}
	if err := os.Truncate(paths[0], 0); err != nil {
		t.Fatal(err)
	}
	again := run(t, Options{Dir: dir})
	c = open(t, again, Native)
	if n := count(t, c, "SELECT count() FROM whole"); n != 2 {
		t.Errorf("%d rows are left of 2", n)
	}
	if err := c.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS torn (n UInt8) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Errorf("the table cannot be made anew: %v", err)
	}
}

// background runs a store until stop is called, which waits for its end.
func background(t *testing.T, s *Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the store did not stop")
		}
	}
}

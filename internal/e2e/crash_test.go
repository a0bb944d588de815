package e2e

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// numberedLines appends lines whose paths are their numbers to a log, so many and at
// a steady pace, until done.
func numberedLines(t *testing.T, path string, lines int, pace time.Duration) (wait func()) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		defer f.Close()
		w := bufio.NewWriter(f)
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for i := range lines {
			fmt.Fprintf(w, "198.51.%d.%d - - [%s] \"GET /n/%d HTTP/1.1\" 200 10 \"-\" \"numbered\"\n",
				i/250%250, i%250, time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), i)
			if i%50 == 49 {
				if w.Flush() != nil {
					return
				}
				<-tick.C
			}
		}
		_ = w.Flush()
	})
	return writing.Wait
}

// TestKilledAgainAndAgain kills weir run and its ClickHouse child at random moments
// while it follows a log, and has the child stand still now and then: every line is in
// ClickHouse at the end, none twice. With WEIR_TORTURE=10m, ten minutes of it.
func TestKilledAgainAndAgain(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	log, data := filepath.Join(dir, "access.log"), filepath.Join(dir, "data")
	length := tortureLength(t, 20*time.Second)
	lines := int(length/(25*time.Millisecond)) * 50
	written := numberedLines(t, log, lines, 20*time.Millisecond) // a while less than that
	r := rand.New(rand.NewPCG(1, 2))
	args := []string{"--data", data, "--http", freeAddress(t), "numbered.example.org=" + log}
	weirKills, childKills, childStops := 0, 0, 0
	for began := time.Now(); time.Since(began) < length; {
		w := start(t, args...)
		for range r.IntN(3) {
			<-time.After(time.Duration(300+r.IntN(1500)) * time.Millisecond)
			if pid := w.clickhouse(); pid != 0 {
				if r.IntN(3) == 0 && syscall.Kill(pid, syscall.SIGSTOP) == nil {
					childStops++
					<-time.After(time.Duration(r.IntN(1500)) * time.Millisecond)
					_ = syscall.Kill(pid, syscall.SIGCONT)
				} else if syscall.Kill(pid, syscall.SIGKILL) == nil {
					childKills++
				}
			}
		}
		<-time.After(time.Duration(200+r.IntN(2000)) * time.Millisecond)
		w.kill()
		weirKills++
	}
	written()
	count := func(what string) string {
		out, err := weir(t, "sql", "--data", data, "SELECT "+what+" FROM requests")
		if err != nil {
			return err.Error()
		}
		return out
	}
	var w *running
	stored := ""
	t.Cleanup(func() { // after weir has been killed
		if t.Failed() {
			t.Logf("the last count was %s; weir said:\n%s", stored, w.log)
		}
	})
	w = start(t, args...)
	for was := "none"; stored != fmt.Sprint(lines); was = stored {
		until(t, "more lines are in ClickHouse than "+was, func() bool {
			stored = count("uniqExact(path)")
			return stored != was && !strings.Contains(stored, " ") // an error has words
		})
	}
	if got := count("count(), uniqExact(path), min(toUInt32(substring(path, 4))), max(toUInt32(substring(path, 4)))"); got !=
		fmt.Sprintf("%d\t%d\t0\t%d", lines, lines, lines-1) {
		t.Errorf("count, distinct, least, greatest: %s", strings.ReplaceAll(got, "\t", " "))
	}
	rollupsAreTheRows(t, lines, func(sql string) (string, error) { return weir(t, "sql", "--data", data, sql) })
	w.end(t)
	t.Logf("%d lines; killed weir %d times and its ClickHouse %d times, which stood still %d times", lines, weirKills, childKills, childStops)
}

// clientsError is how far a rollup's number of clients may be from the rows': six times the
// standard error of its states.
const clientsError = 0.05

// rollupsAreTheRows compares the rollups with the rows: in each 10 seconds, minute and hour of
// each site as many requests and bytes, and as many clients but for the error of the states.
func rollupsAreTheRows(t *testing.T, lines int, ask func(sql string) (string, error)) {
	t.Helper()
	for table, start := range map[string]string{
		"rollup_10s": "toStartOfInterval(time, INTERVAL 10 SECOND)", "rollup_1m": "toStartOfMinute(time)", "rollup_1h": "toStartOfHour(time)",
	} {
		got, err := ask(`SELECT toUInt64(sum(rolled)), toUInt64(sum(counted)), countIf(rolled != counted OR rolled_bytes != counted_bytes), countIf(abs(some - exact) > ` + fmt.Sprint(clientsError) + ` * exact) FROM
(SELECT site, time, sum(` + table + `.requests) AS rolled, sum(` + table + `.bytes) AS rolled_bytes, uniqCombined64Merge(14)(` + table + `.clients) AS some FROM ` + table + ` GROUP BY site, time) AS r
FULL JOIN (SELECT site, toDateTime(` + start + `, 'UTC') AS time, sum(weight) AS counted, sum(weight * requests.bytes) AS counted_bytes, uniqExact(client) AS exact FROM requests GROUP BY site, time) AS q USING (site, time)`)
		if want := fmt.Sprintf("%d\t%d\t0\t0", lines, lines); err != nil || got != want {
			t.Errorf("%s: requests, of the rows, spans that differ, spans whose clients do: %s, want %s; error %v", table, strings.ReplaceAll(got, "\t", " "), strings.ReplaceAll(want, "\t", " "), err)
		}
	}
}

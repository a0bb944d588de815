package clickhouse

import (
	"bytes"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestWhatIsErasedIsNotOnDisk: neither what was rewritten nor the statements that did it are
// left in ClickHouse's folder.
func TestWhatIsErasedIsNotOnDisk(t *testing.T) {
	dir := t.TempDir()
	db := client(t, home(t, dir))
	private(t, db, Privacy{}, "s", from("192.0.2.7"), from("192.0.2.77"))
	at := time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC)
	if err := db.RecordEvents(t.Context(), "", []schemas.Event{{Type: schemas.DecisionAdded, Time: at, Incident: "i", Decision: &schemas.Decision{
		ID: "d", Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.7", Expires: at}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Erase(t.Context(), netip.MustParseAddr("192.0.2.7")); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, db, "SELECT (SELECT count() FROM system.parts WHERE NOT active AND table IN ('requests', 'decisions')), (SELECT count() FROM system.mutations), (SELECT count() FROM requests)"); got != "0\t0\t1" {
		t.Errorf("parts that were rewritten, statements, requests: %s", got)
	}
	if got := ask(t, db, "SELECT countIf(position(create_table_query, 'old_parts_lifetime') > 0) FROM system.tables"); got != "0" {
		t.Errorf("%s tables keep their parts shorter than they did", got)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // what ClickHouse removes meanwhile
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		files++
		for _, form := range []string{"192.0.2.7'", "'192.0.2.7", `192\.0\.2\.7`} {
			if bytes.Contains(data, []byte(form)) {
				t.Errorf("%s has %s", path, form)
			}
		}
		return nil
	})
	if err != nil || files < 20 {
		t.Errorf("%d files, %v", files, err)
	}
}

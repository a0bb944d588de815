package clients

import (
	"fmt"
	"testing"
)

// TestPatientCrowdsDisplaceNoRegulars: three quarters of a table of addresses come as visitors do,
// each day or on two days a week apart, until all that the table takes are regulars; then ten tables of
// strangers come. Nobody who was a regular a month before is forgotten, come they each day or once a week.
func TestPatientCrowdsDisplaceNoRegulars(t *testing.T) {
	const size, known, before, patient = 1 << 13, 500, 28, 12
	const crowd, strangers = 1 << 30, 1 << 31
	for _, often := range []int{1, 7} { // days between the visits of one
		for name, comes := range map[string]func(day int) bool{
			"each day":     func(int) bool { return true },
			"on two days":  func(day int) bool { return day == 0 || day == 8 },
			"once a week":  func(day int) bool { return day%7 == 0 },
			"all but once": func(day int) bool { return day != 5 },
		} {
			t.Run(fmt.Sprintf("regulars each %d days, a crowd %s", often, name), func(t *testing.T) {
				table := New(size, 1)
				for at := range before + patient {
					start := someday + int64(at)*day
					if at >= before && comes(at-before) {
						for i := range uint32(size * 3 / 4) {
							visitOf(table, address(crowd+i), start+int64(i)*2, true)
						}
					}
					for i := range known {
						if (at+i)%often == 0 {
							visitOf(table, address(uint32(i)), start+int64(i)*100, true)
						}
					}
				}
				if n := table.Regulars(); n != size/2 {
					t.Fatalf("%d regulars of at most %d: the crowd is none", n, size/2)
				}
				for i := range uint32(10 * size) {
					visitOf(table, address(strangers+i), someday+(before+patient)*day+int64(i), true)
				}
				for i := range uint32(known) {
					if !table.Regular(address(i), 1) {
						t.Fatalf("regular %d is forgotten", i)
					}
				}
				checkTable(t, table)
			})
		}
	}
}

package processor

import "testing"

// TestABranchOfASiteThatIsGone: a site that comes, learns and goes before the branch is told
// leaves nothing there; one that stays is told.
func TestABranchOfASiteThatIsGone(t *testing.T) {
	k := NewKnowledge()
	b := k.branch()
	for _, name := range []string{"gone", "stays"} {
		s := k.hold(name)
		k.lesson(s, lessonPath, 7)
		k.lesson(s, lessonProgram, 8)
		k.lesson(s, lessonSure, 9)
	}
	k.release("gone")
	k.tellBranch()
	if b.has("gone") || !b.has("stays") {
		t.Errorf("the branch knows the site that is gone: %t, that stays: %t", b.has("gone"), b.has("stays"))
	}
	if len(k.lessons) > 0 {
		t.Errorf("%d lessons are left", len(k.lessons))
	}
}

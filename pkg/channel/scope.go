package channel

// A Scope is the channels that somebody is let near at all, whatever else they
// may: what a token says that it is for. The nil Scope is all of them. It is not
// changed once made.
type Scope struct {
	Subscribe, Publish []Pattern
}

// Covers reports whether one of the patterns matches name, with user for "{user}".
func Covers(patterns []Pattern, name Name, user string) bool {
	for i := range patterns {
		if patterns[i].Match(name, user) {
			return true
		}
	}
	return false
}

package consent

// Nearest returns which of the names a misspelt one most likely stands for, or "" if none is like it: at most a third of its letters, rounded
// up, and never more than three, may have to be put in, taken out, or replaced.
func Nearest(name string, names []string) string {
	if len(name) > maxNameBytes*2+1 { // no name is that long, and the comparison takes the product of the lengths
		return ""
	}
	nearest, least := "", min((len(name)+2)/3, 3)+1
	for _, other := range names {
		if d := distance(name, other); d < least {
			nearest, least = other, d
		}
	}
	return nearest
}

// distance is how many bytes have to be put in, taken out or replaced to make one name of the other (Levenshtein).
func distance(from, to string) int {
	row := make([]int, len(to)+1)
	for i := range row {
		row[i] = i
	}
	for i := range len(from) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(to) {
			replaced := diagonal
			if from[i] != to[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}

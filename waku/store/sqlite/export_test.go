package sqlite

// OpenSmall opens an archive whose chunks and slices are small, so that few
// entries fill many.
func OpenSmall(path string) (*Archive, error) {
	return open(path, limits{chunk: 16, slice: 4 << 10})
}

"""What Headrace does in a second, each figure beside a reference taken in the same run: machines differ."""

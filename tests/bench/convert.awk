# The table of tests/bench/convert: the best round of each, and whether the goals are met.
#	-v data=KiB		of the source
{
	key = $3 SUBSEP $2
	if (!($3 in seen)) {
		seen[$3] = 1
		order[++n] = $3
	}
	if (!(key in best) || $4 < best[key]) {
		best[key] = $4
		cpu[key] = $5
		size[key] = $6
	}
}

END {
	print "| conversion | vmdk MB/s | qemu-img MB/s | ratio | vmdk CPU s | qemu-img CPU s | vmdk MB | qemu-img MB |"
	print "|---|---|---|---|---|---|---|---|"
	for (i = 1; i <= n; i++) {
		row = order[i]
		v = row SUBSEP "vmdk"
		q = row SUBSEP "qemu-img"
		ratio[row] = best[q] / best[v]
		printf "| %s | %.0f | %.0f | **%.2f** | %.2f | %.2f | %.0f | %.0f |\n", row,
			data * 1024e-6 / best[v], data * 1024e-6 / best[q], ratio[row],
			cpu[v], cpu[q], size[v] / 1e6, size[q] / 1e6
	}
	print ""
	for (i = 1; i <= n; i++) {
		goal = order[i] == "flat>stream" || order[i] == "stream>sparse" ? 5 : 1.5
		ok = ratio[order[i]] >= goal
		printf "goal: %s at least %.1f times qemu-img: %.2f %s\n", order[i], goal,
			ratio[order[i]], ok ? "PASS" : "FAIL"
		failed = failed || !ok
	}
	exit failed || n == 0
}

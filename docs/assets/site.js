// A table that is wider than its column is scrolled by keyboard too.
document$.subscribe(() => {
    for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) {
        box.tabIndex = 0;
    }
});

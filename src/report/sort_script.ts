/** Sorts a table by the column whose heading is pressed: first the largest or the first in the alphabet, then back. */
export const SORT_SCRIPT = `
for (const table of document.querySelectorAll('table.sortable')) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector('button').addEventListener('click', () => {
      const before = heading.getAttribute('aria-sort');
      const rows = [...table.tBodies[0].rows];
      const key = (row) => row.cells[column].dataset.value;
      const numbers = rows.every((row) => key(row) === '' || !Number.isNaN(Number(key(row))));
      const descending = before ? before === 'ascending' : numbers;
      const compare = (a, b) => numbers ? Number(key(a) || -Infinity) - Number(key(b) || -Infinity)
        : key(a).localeCompare(key(b));
      rows.sort((a, b) => descending ? compare(b, a) : compare(a, b));
      headings.forEach((other) => other.removeAttribute('aria-sort'));
      heading.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
      table.tBodies[0].append(...rows);
    });
  });
}
`;

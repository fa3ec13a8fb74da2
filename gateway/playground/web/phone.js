/** Whether the window is as narrow as a phone's. style.css has the same width. */
export const phone = matchMedia('(max-width: 700px)');

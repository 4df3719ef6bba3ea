// SPDX-License-Identifier: GPL-2.0-or-later

/** The page: reads what is in the file, and shows it, or lets one run it. */

import type { PageData } from '../html.ts';
import { LiveView } from './live-view.ts';
import { showReport } from './report-view.ts';

const data = JSON.parse(document.getElementById('data')!.textContent) as PageData;
const report = document.getElementById('report')!;
if ('live' in data) new LiveView(data.live, report).start();
else showReport(data, report);
